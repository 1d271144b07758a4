"""Signatures of files, as the programs that everybody has see them."""

from __future__ import annotations

import hashlib
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from os_image_composer.errors import SigningError
from os_image_composer.report.file_signatures import Trusted, signature_faults
from os_image_composer.signing.detached import CmsFiles, open_openpgp
from os_image_composer.signing.key_files import no_passphrase, open_key, read_certificate
from support.boot_keys import KeyFolder
from support.tools import host_tool


def gpg(home: Path, *words: str) -> subprocess.CompletedProcess[bytes]:
    return host_tool("gpg", "--homedir", str(home), "--batch", *words)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A GnuPG folder; the agent that GnuPG starts in it ends with the test."""
    folder = tmp_path / "gpg"
    folder.mkdir(mode=0o700)
    yield folder
    host_tool("gpgconf", "--homedir", str(folder), "--kill", "all")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "image.raw"
    with path.open("wb") as stream:
        stream.write(b"boot sector")
        stream.truncate(20 << 20)
    return path


def digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def test_gpg_verifies_an_openpgp_signature(keys: KeyFolder, file: Path, home: Path, tmp_path: Path) -> None:
    signer = open_openpgp(keys.file("image.pgp"))
    signature = tmp_path / "image.raw.asc"
    signature.write_bytes(signer.sign(file, digest(file)))
    assert gpg(home, "--import", str(keys.file("image.asc"))).returncode == 0
    done = gpg(home, "--status-fd=1", "--verify", str(signature), str(file))
    assert done.returncode == 0
    (valid,) = [line for line in done.stdout.splitlines() if b" VALIDSIG " in line]
    assert valid.split()[-1].decode().lower() == signer.fingerprint  # that of the primary key
    with file.open("r+b") as stream:
        stream.seek(10 << 20)
        stream.write(b"x")
    assert gpg(home, "--verify", str(signature), str(file)).returncode == 1


def test_openssl_verifies_a_cms_signature(keys: KeyFolder, file: Path, tmp_path: Path) -> None:
    signer = CmsFiles(keys.signer("image"))
    signature = tmp_path / "image.raw.p7s"
    signature.write_bytes(signer.sign(file, digest(file)))
    words = (
        *("openssl", "cms", "-verify", "-binary", "-inform", "DER", "-in", str(signature), "-content", str(file)),
        *("-CAfile", str(keys.file("image.pem")), "-purpose", "any", "-out", "/dev/null"),
    )
    done = host_tool(*words)
    assert done.returncode == 0, done.stderr
    with file.open("r+b") as stream:
        stream.seek(10 << 20)
        stream.write(b"x")
    assert host_tool(*words).returncode != 0


def test_cms_signature_of_the_same_file_is_the_same(keys: KeyFolder, file: Path) -> None:
    signer = CmsFiles(keys.signer("image"))
    assert signer.sign(file, digest(file)) == signer.sign(file, digest(file))


def test_cms_signature_by_an_elliptic_curve_holds_for_openssl_and_for_verify(file: Path, tmp_path: Path) -> None:
    key, certificate, signature = tmp_path / "ec.key", tmp_path / "ec.pem", tmp_path / "image.raw.p7s"
    made = ("req", "-new", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    subject = ("-subj", "/CN=files", "-keyout", str(key), "-out", str(certificate))
    assert host_tool("openssl", *made, *subject).returncode == 0
    key.chmod(0o600)
    public = read_certificate(certificate)
    signature.write_bytes(CmsFiles(open_key(key, public, no_passphrase)).sign(file, digest(file)))
    words = ("-in", str(signature), "-content", str(file), "-CAfile", str(certificate))
    form = ("cms", "-verify", "-binary", "-inform", "DER", "-purpose", "any", "-out", "/dev/null")
    done = host_tool("openssl", *form, *words)
    assert done.returncode == 0, done.stderr
    trusted = Trusted(None, [public], time.time())
    assert list(signature_faults(file, digest(file), trusted)) == [("x509", "CN=files", None)]
    assert [fault for _, _, fault in signature_faults(file, "ab" * 32, trusted)] == ["it is about other bytes"]


def test_signers_say_who_they_are(keys: KeyFolder) -> None:
    openpgp, cms = open_openpgp(keys.file("image.pgp")), CmsFiles(keys.signer("image"))
    assert openpgp.development
    assert cms.development
    assert "development key" in openpgp.name
    assert len(openpgp.fingerprint) == 40
    assert cms.fingerprint == hashlib.sha256(keys.file("image.der").read_bytes()).hexdigest()
    assert "PySigner" not in repr(openpgp)


def test_openpgp_key_with_a_passphrase_opens_with_it_alone(home: Path, tmp_path: Path, file: Path) -> None:
    secret = tmp_path / "locked.pgp"
    loopback = ("--pinentry-mode", "loopback", "--passphrase", "geheim")
    assert gpg(home, *loopback, "--quick-gen-key", "A <a@example.org>", "rsa2048", "sign").returncode == 0
    secret.write_bytes(gpg(home, *loopback, "--export-secret-keys").stdout)
    secret.chmod(0o600)
    signer = open_openpgp(secret, lambda _: b"geheim")
    assert not signer.development
    (tmp_path / "s").write_bytes(signer.sign(file, digest(file)))
    assert gpg(home, "--verify", str(tmp_path / "s"), str(file)).returncode == 0
    for passphrase in (None, b"wrong"):
        with pytest.raises(SigningError) as caught:
            open_openpgp(secret, lambda _, given=passphrase: given)  # type: ignore[misc]
        assert caught.value.reference == "key-locked"


def test_certificate_without_its_secret_cannot_sign(keys: KeyFolder, tmp_path: Path) -> None:
    public = tmp_path / "public.pgp"
    public.write_bytes(keys.file("image.asc").read_bytes())
    public.chmod(0o600)
    with pytest.raises(SigningError) as caught:
        open_openpgp(public)
    assert caught.value.reference == "key-unreadable"
    public.chmod(0o644)
    with pytest.raises(SigningError) as caught:
        open_openpgp(public)
    assert caught.value.reference == "key-not-private"

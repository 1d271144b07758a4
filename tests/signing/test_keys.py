"""Keys in files: made, opened, refused."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from os_image_composer.cli.main import run
from os_image_composer.errors import SigningError
from os_image_composer.signing.generate import generate, is_development
from os_image_composer.signing.key_files import check_boot_key, open_key, read_certificate
from support.boot_keys import PASSPHRASE, KeyFolder, locked_copy
from support.tools import host_tool

NAMES = {f"{name}.{suffix}" for name in ("PK", "KEK", "db", "image") for suffix in ("key", "pem", "der")}


def refusal(file: Path, certificate: x509.Certificate, passphrase: bytes | None = None) -> str:
    with pytest.raises(SigningError) as caught:
        open_key(file, certificate, lambda _: passphrase)
    return caught.value.reference


def test_only_their_owner_can_read_new_keys(keys: KeyFolder) -> None:
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in keys.path.iterdir()}
    assert set(modes) == NAMES | {"image.pgp", "image.asc"}
    assert {mode for name, mode in modes.items() if name.endswith((".key", ".pgp"))} == {0o600}
    assert stat.S_IMODE(keys.path.stat().st_mode) == 0o700


def test_openssl_reads_keys_and_certificates_in_both_forms(keys: KeyFolder) -> None:
    for name in ("PK", "KEK", "db", "image"):
        shown = host_tool("openssl", "x509", "-in", str(keys.file(f"{name}.pem")), "-noout", "-pubkey").stdout
        of_key = host_tool("openssl", "pkey", "-in", str(keys.file(f"{name}.key")), "-pubout").stdout
        der = host_tool("openssl", "x509", "-inform", "DER", "-in", str(keys.file(f"{name}.der")), "-noout", "-pubkey")
        assert shown == of_key == der.stdout != b""


def test_certificates_say_that_they_are_for_development(keys: KeyFolder) -> None:
    for name in ("PK", "KEK", "db", "image"):
        text = host_tool("openssl", "x509", "-in", str(keys.file(f"{name}.pem")), "-noout", "-subject").stdout.decode()
        assert "development key, not for production" in text
        assert is_development(keys.certificate(name))


def test_certificate_of_somebody_else_is_no_development_key(tmp_path: Path) -> None:
    words = ("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=development", "-keyout", "/dev/null")
    assert host_tool("openssl", *words, "-out", str(tmp_path / "c.pem")).returncode == 0
    assert not is_development(read_certificate(tmp_path / "c.pem"))


def test_keys_are_never_written_over_others(keys: KeyFolder, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.read_bytes() for path in keys.path.iterdir()}
    assert run(["keys", "generate", str(keys.path)]) == 1
    assert "error[keys-exist]" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in keys.path.iterdir()} == before


def test_verb_warns_and_says_what_a_template_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["keys", "generate", str(tmp_path / "new")]) == 0
    told = capsys.readouterr()
    assert "warning: these keys are for development" in told.err
    assert f'certificate: "{tmp_path}/new/db.pem"' in told.out
    assert "PRIVATE KEY" not in told.err + told.out


def test_what_the_verb_prints_can_be_pasted_at_the_end_of_a_template(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["keys", "generate", str(tmp_path / "new")]) == 0
    template = tmp_path / "template.yml"
    template.write_text(
        'image: {name: pasted, version: "1.0"}\n'
        "target: {os: debian, dist: debian13, arch: x86_64, imageType: raw}\n"
        f"systemConfig:\n  name: pasted\n{capsys.readouterr().out}"
    )
    assert run(["validate", "--json", str(template)]) == 0


@pytest.mark.parametrize("bits", ["1024", "many", "2049"])
def test_sizes_that_are_not_offered_are_refused(tmp_path: Path, bits: str) -> None:
    assert run(["keys", "generate", "--bits", bits, str(tmp_path / "new")]) == 2
    assert not (tmp_path / "new").exists()


def test_larger_keys_are_made_when_asked_for(tmp_path: Path) -> None:
    generate(tmp_path / "new", 3072, 1_700_000_000.0)
    key = read_certificate(tmp_path / "new" / "db.pem").public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    assert key.key_size == 3072


def test_key_of_another_certificate_is_refused(keys: KeyFolder) -> None:
    assert refusal(keys.file("db.key"), keys.certificate("KEK")) == "key-differs"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o620])
def test_key_that_others_can_reach_is_refused(keys: KeyFolder, tmp_path: Path, mode: int) -> None:
    copy = tmp_path / "db.key"
    copy.write_bytes(keys.file("db.key").read_bytes())
    copy.chmod(mode)
    assert refusal(copy, keys.certificate()) == "key-not-private"


def test_key_with_a_passphrase_opens_with_it_alone(keys: KeyFolder, tmp_path: Path) -> None:
    locked = locked_copy(keys.signer(), tmp_path / "locked.key")
    assert open_key(locked, keys.certificate(), lambda _: PASSPHRASE).certificate == keys.certificate()
    assert refusal(locked, keys.certificate()) == "key-locked"
    assert refusal(locked, keys.certificate(), b"wrong") == "key-locked"
    check_boot_key(locked, keys.certificate())  # what can be known without it is right


def test_what_is_no_key_is_refused_in_words_without_its_content(keys: KeyFolder, tmp_path: Path) -> None:
    odd = tmp_path / "odd.key"
    odd.write_bytes(b"SECRET-LOOKING")
    odd.chmod(0o600)
    with pytest.raises(SigningError) as caught:
        open_key(odd, keys.certificate())
    assert caught.value.reference == "key-unreadable"
    assert "SECRET" not in str(caught.value) + str(caught.value.hint) + str(caught.value.cause)
    odd.write_bytes(keys.file("db.pem").read_bytes())
    assert refusal(odd, keys.certificate()) == "key-unreadable"
    assert refusal(tmp_path / "absent.key", keys.certificate()) == "key-unreadable"


def test_certificate_where_a_key_is_meant_is_told(keys: KeyFolder) -> None:
    with pytest.raises(SigningError) as caught:
        read_certificate(keys.file("db.key"))
    assert (caught.value.reference, caught.value.cause) == ("certificate-unreadable", "it is a private key")


def test_key_of_too_few_bits_is_refused(tmp_path: Path) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    words = ("req", "-x509", "-key", str(tmp_path / "k"), "-subj", "/CN=weak", "-out", str(tmp_path / "c"))
    (tmp_path / "k").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (tmp_path / "k").chmod(0o600)
    assert host_tool("openssl", *words).returncode == 0
    assert refusal(tmp_path / "k", read_certificate(tmp_path / "c")) == "weak-key"


def test_printing_a_key_shows_its_certificate_alone(keys: KeyFolder) -> None:
    signer = keys.signer()
    assert repr(signer) == f"FileKey({signer.certificate.subject.rfc4514_string()})"

"""RPMs as a vendor's repository: signed, indexed, laid out."""

from __future__ import annotations

import gzip
import hashlib
import io
import shutil
import struct
import subprocess
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable
from pathlib import Path

import pysequoia
import zstandard

from os_image_composer.ospackage.rpm.header import read_header
from support.deb_repository import SigningKey
from support.lookalike.recipe import BUILD_TIME
from support.rpm_package import BIN, I18N, INT16, INT32, INT64, STRING, STRINGS, Tags, structure

_LEAD = 96
_RSA_HEADER, _RESERVED, _REGION = 268, 1008, 62
_NAMESPACE = "http://linux.duke.edu/metadata/repo"


class RsaKey(SigningKey):
    """As the vendors': RSA, the primary key signs, made by GnuPG. rpm 4.18's own reader of keys takes no other."""

    def __init__(self, name: str) -> None:
        with tempfile.TemporaryDirectory(prefix="gpg-", dir="/tmp") as home:  # short: sockets lie in it
            gpg = ["gpg", "--batch", "--quiet", "--homedir", home, "--pinentry-mode", "loopback", "--passphrase", ""]
            try:
                generate = [*gpg, "--quick-generate-key", f"{name} <archive@invalid>", "rsa3072", "cert,sign", "never"]
                subprocess.run(generate, check=True, capture_output=True, timeout=120)
                exported = subprocess.run([*gpg, "--export-secret-keys"], check=True, capture_output=True, timeout=60)
            finally:
                subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=False, timeout=60)
        self.secret = pysequoia.Tsk.from_bytes(exported.stdout)
        self.certificate = self.secret.extract_certificate()
        self.fingerprint = self.certificate.fingerprint


def signed(data: bytes, key: SigningKey) -> bytes:
    """An RPM with the key's signature over its header in its signature header, as rpmsign --addsign makes it."""
    file = io.BytesIO(data)
    file.seek(_LEAD)
    signature = read_header(file)
    file.seek(-len(signature.raw) % 8, io.SEEK_CUR)
    rest = file.tell()
    header = read_header(file)
    tags = _tags(signature.raw)
    for tag in (_REGION, _RESERVED):
        tags.pop(tag, None)
    tags[_RSA_HEADER] = (BIN, bytes(pysequoia.Sig.from_bytes(key.detached(header.raw))))
    made = structure(tags, _REGION)
    return data[:_LEAD] + made + b"\0" * (-len(made) % 8) + data[rest:]


def _tags(raw: bytes) -> Tags:
    """A header's tags as the writer takes them."""
    count, _ = struct.unpack(">II", raw[8:16])
    start = 16 + 16 * count
    header = read_header(io.BytesIO(raw))
    tags: Tags = {}
    for tag, kind, _, _ in struct.iter_unpack(">IIII", raw[16:start]):
        if kind == BIN:
            tags[tag] = (kind, header.binary(tag))
        elif kind in (INT16, INT32, INT64):
            tags[tag] = (kind, list(header.numbers(tag)))
        elif kind == STRING:
            tags[tag] = (kind, header.string(tag))
        else:
            assert kind in (STRINGS, I18N)
            tags[tag] = (kind, list(header.strings(tag)))
    return tags


def publish(folder: Path, rpms: Iterable[Path], key: SigningKey, form: str = "gz") -> None:
    """A repository at `folder`: Packages/<letter>/*.rpm, repodata with its signature, the key beside it. The names of
    `rpms` are those of the kitchen's cache, whose digest is cut off."""
    shutil.rmtree(folder, ignore_errors=True)
    for rpm in rpms:
        name = rpm.name.partition("-")[2]
        place = folder / "Packages" / name[0].lower() / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(signed(rpm.read_bytes(), key))
    index(folder, form)
    sign(folder, key)


def index(folder: Path, form: str = "gz") -> None:
    options = ["--checksum", "sha256", "--no-database", "--unique-md-filenames", "--workers", "2"]
    dated = ["--revision", str(BUILD_TIME), "--set-timestamp-to-revision", "--general-compress-type", "gz"]
    argv = ["createrepo_c", "--quiet", *options, *dated, str(folder)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    if form == "zst":
        _compress_anew(folder)


def sign(folder: Path, key: SigningKey) -> None:
    repomd = folder / "repodata" / "repomd.xml"
    repomd.with_name("repomd.xml.asc").write_bytes(key.detached(repomd.read_bytes()))
    armored = str(key.certificate).encode()
    repomd.with_name("repomd.xml.key").write_bytes(armored)
    (folder / "RPM-GPG-KEY").write_bytes(armored)


def _compress_anew(folder: Path) -> None:
    """gz to zst: Debian 12's createrepo_c knows no zstd, the vendors' does."""
    ElementTree.register_namespace("", _NAMESPACE)
    ElementTree.register_namespace("rpm", "http://linux.duke.edu/metadata/rpm")
    repomd = folder / "repodata" / "repomd.xml"
    tree = ElementTree.parse(repomd)
    for entry in tree.getroot().iter(f"{{{_NAMESPACE}}}data"):
        location = entry.find(f"{{{_NAMESPACE}}}location")
        checksum, size = entry.find(f"{{{_NAMESPACE}}}checksum"), entry.find(f"{{{_NAMESPACE}}}size")
        assert location is not None and checksum is not None and size is not None
        old = folder / str(location.get("href"))
        packed = zstandard.compress(gzip.decompress(old.read_bytes()))
        digest = hashlib.sha256(packed).hexdigest()
        new = old.with_name(f"{digest}-{old.name.partition('-')[2].removesuffix('.gz')}.zst")
        new.write_bytes(packed)
        old.unlink()
        location.set("href", f"repodata/{new.name}")
        checksum.text, size.text = digest, str(len(packed))
    tree.write(repomd, encoding="UTF-8", xml_declaration=True)

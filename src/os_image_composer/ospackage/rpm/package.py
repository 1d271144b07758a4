"""An RPM file: lead, signature header, header, compressed payload; who signed it, and whether it is whole.

Format: rpm's "RPM V4 Package format" (docs/manual/format_v4.md); tags: include/rpm/rpmtag.h.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from os_image_composer.errors import MetadataError, TrustError
from os_image_composer.ospackage.expanding import BLOCK
from os_image_composer.ospackage.lock import LockedPackage
from os_image_composer.ospackage.openpgp import Keyring, Signed, verify_detached
from os_image_composer.ospackage.rpm.header import BadHeaderError, Header, read_header

_LEAD = 96  # bytes
_LEAD_MAGIC = b"\xed\xab\xee\xdb\x03"  # and format version 3, which every RPM of the last 25 years has
_MAX_SIGNATURE_DATA = 64 << 20  # bytes, as in rpm
# Of the signature header.
_DSA_HEADER, _RSA_HEADER, _SHA256_HEADER, _OPENPGP = 267, 268, 273, 278
_OLD_SIGNATURES = (1002, 1005, 1006)  # PGP, GPG, PGP5: over header and payload, not made since rpm 4.14
# Of the header.
NAME, VERSION, RELEASE, EPOCH, LICENSE, ARCH, SOURCE_RPM = 1000, 1001, 1002, 1003, 1014, 1022, 1044
_PAYLOAD_FORMAT, _PAYLOAD_COMPRESSOR, _PAYLOAD_DIGEST, _PAYLOAD_DIGEST_ALGORITHM = 1124, 1125, 5092, 5093
_SHA256 = 8  # RFC 9580, section 9.5
_FORMS = {"gzip": ".gz", "xz": ".xz", "lzma": ".lzma", "zstd": ".zst", "bzip2": ".bz2", "none": "", "identity": ""}


@dataclass(frozen=True)
class RpmFile:
    """What was read of the file at `path`; nothing of it is trusted before `check_package`. The payload begins at
    `payload_offset` bytes."""

    path: Path
    signature: Header
    header: Header
    payload_offset: int

    @property
    def name(self) -> str:
        return self.header.string(NAME)

    @property
    def evr(self) -> str:
        """`epoch:version-release`, without an epoch that is 0."""
        epoch = self.header.number(EPOCH)
        return f"{epoch}:" * bool(epoch) + f"{self.header.string(VERSION)}-{self.header.string(RELEASE)}"

    @property
    def arch(self) -> str:
        return self.header.string(ARCH)

    @property
    def licence(self) -> str:
        """The License tag as the packager wrote it."""
        return self.header.string(LICENSE)

    @property
    def payload_form(self) -> str:
        """How the payload is compressed, as `expanding.expanding` names it. Raises MetadataError `bad-package`."""
        form = _FORMS.get(self.header.string(_PAYLOAD_COMPRESSOR, "gzip"))
        if form is None or self.header.string(_PAYLOAD_FORMAT, "cpio") != "cpio":
            raise bad_package(self.path, "its payload is of a kind that is not known")
        return form


def read_package(path: Path) -> RpmFile:
    """The headers of an RPM file. Raises MetadataError `bad-package`; OSError where it cannot be opened."""
    with path.open("rb") as file:
        return read_package_from(file, path)


def read_package_from(file: BinaryIO, path: Path) -> RpmFile:
    """The same for an open file; `path` is for messages."""
    try:
        lead = file.read(_LEAD)
        if len(lead) != _LEAD or not lead.startswith(_LEAD_MAGIC):
            raise BadHeaderError("it is no RPM file")
        if lead[6:8] != b"\0\0":
            raise BadHeaderError("it is no binary package")
        signature = read_header(file, _MAX_SIGNATURE_DATA)
        file.seek(-len(signature.raw) % 8, io.SEEK_CUR)
        header = read_header(file)
        package = RpmFile(path, signature, header, file.tell())
        _ = (package.name, package.evr, package.arch, package.licence, package.payload_form)
    except BadHeaderError as error:
        raise bad_package(path, str(error)) from error
    return package


def check_package(path: Path, wanted: LockedPackage, keyring: Keyring | None) -> Signed | None:
    """Whether this is the package that its metadata named, signed with a key of `keyring` and with the payload that was
    signed. With None as keyring the repository's packages need no signature, and none is looked at.

    Raises TrustError `package-not-signed`, `header-changed`, `payload-changed`, `wrong-package`, and those of
    `openpgp.verify_detached`; MetadataError `bad-package`.
    """
    with path.open("rb") as file:
        package = read_package_from(file, path)
        what = f"{wanted.name} {wanted.version}"
        try:
            _check_header_digest(package, what)
            signed = _check_signature(package, what, keyring) if keyring else None
            _check_identity(package, wanted)
            _check_payload(package, what, file)
        except BadHeaderError as error:
            raise bad_package(path, str(error)) from error
    return signed


def bad_package(path: Path, cause: str) -> MetadataError:
    return MetadataError("bad-package", f"{path.name} is not a usable package", cause=cause)


def source_of(file_name: str) -> str:
    """Name and version of the source package, from the name of its file."""
    name, _, version = _split(file_name.removesuffix(".rpm").removesuffix(".nosrc").removesuffix(".src"))
    return f"{name} {version}" if version else name


def _split(nvr: str) -> tuple[str, str, str]:
    head, _, release = nvr.rpartition("-")
    name, _, version = head.rpartition("-")
    return (name, "-", f"{version}-{release}") if name else (nvr, "", "")


def _check_header_digest(package: RpmFile, what: str) -> None:
    stated = package.signature.string(_SHA256_HEADER)
    actual = hashlib.sha256(package.header.raw).hexdigest()
    if stated and stated != actual:
        raise TrustError(
            "header-changed",
            f"the header of {what} is not the one that was written with it",
            cause=f"SHA-256 {actual} instead of {stated}",
            hint="the repository holds a changed package: another mirror may be in order",
        )


def _check_signature(package: RpmFile, what: str, keyring: Keyring) -> Signed:
    found = [s for s in (package.signature.binary(_RSA_HEADER), package.signature.binary(_DSA_HEADER)) if s]
    try:
        found += [base64.b64decode(text, validate=True) for text in package.signature.strings(_OPENPGP)]
    except (binascii.Error, UnicodeEncodeError, ValueError) as error:
        raise TrustError("bad-signature", f"the signature of {what} is malformed", cause=str(error)) from error
    if not found:
        old = any(tag in package.signature for tag in _OLD_SIGNATURES)
        raise TrustError(
            "package-not-signed",
            f"{what} is not signed",
            cause="its only signature is of the form that rpm has given up"
            if old
            else "it carries no signature over its header",
            hint="the repository's packages must be signed with the key that is pinned for it",
        )
    return verify_detached(package.header.raw, b"".join(found), what, keyring)


def _check_identity(package: RpmFile, wanted: LockedPackage) -> None:
    is_there, asked = (package.name, package.evr, package.arch), (wanted.name, wanted.version, wanted.arch)
    if is_there != asked:
        raise TrustError(
            "wrong-package",
            f"{wanted.file_name} is not the package that the repository names",
            cause=f"{'-'.join(is_there[:2])}.{is_there[2]} instead of {'-'.join(asked[:2])}.{asked[2]}",
        )


def _check_payload(package: RpmFile, what: str, file: BinaryIO) -> None:
    stated = package.header.string(_PAYLOAD_DIGEST)
    if not stated or package.header.number(_PAYLOAD_DIGEST_ALGORITHM) != _SHA256:
        raise TrustError(
            "payload-not-covered",
            f"the header of {what} does not say which payload belongs to it",
            cause="no SHA-256 of the payload in it, as rpm writes since 4.14",
        )
    file.seek(package.payload_offset)
    digest = hashlib.sha256()
    while block := file.read(BLOCK):
        digest.update(block)
    if digest.hexdigest() != stated:
        raise TrustError(
            "payload-changed",
            f"the payload of {what} is not the one that its header names",
            cause=f"SHA-256 {digest.hexdigest()} instead of {stated}",
            hint="the repository holds a changed package: another mirror may be in order",
        )

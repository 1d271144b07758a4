"""Whether the files beside an image are the signed ones: detached signatures, and what the manifest says."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography import x509

from os_image_composer.errors import TrustError
from os_image_composer.formats.signed_data import parse_signed_data
from os_image_composer.formats.window import FormatError
from os_image_composer.ospackage.openpgp import Keyring, verify_file
from os_image_composer.signing.beside import KEYS
from os_image_composer.signing.detached import OPENPGP, SUFFIXES, X509
from os_image_composer.signing.verifying import SignatureError, signer_of, trusted_by

MANIFEST = ".manifest.json"  # ends its name, after the image's own
_LONGEST = 64 << 20  # bytes of a manifest
_LONGEST_SIGNATURE = 1 << 20
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Trusted:
    """Whose signatures count. `keyring` is None where no OpenPGP key was given; `now` is in seconds since the epoch."""

    keyring: Keyring | None
    certificates: Sequence[x509.Certificate]
    now: float


@dataclass(frozen=True)
class Manifest:
    """What a manifest says of files in its own folder: the names of the `images`, and the SHA-256 of each file.
    `enrolled` is the same for the keys to enrol, which are in the folder `keys`: their names begin with it."""

    images: tuple[str, ...]
    files: Mapping[str, str]
    keys: str
    enrolled: Mapping[str, str]


def read_manifest(file: Path) -> Manifest:
    """Raises ValueError, in words, for what is no manifest or names files elsewhere; OSError."""
    with file.open("rb") as stream:
        data = stream.read(_LONGEST + 1)
    if len(data) > _LONGEST:
        raise ValueError("it is longer than any manifest")
    try:
        value: Any = json.loads(data)
        images = [(one["file"], one["sha256"]) for one in value["artifacts"]]
        beside = [(one["file"], one["sha256"]) for key in ("blockMaps", "sboms") for one in value[key]]
        entries = [*images, *beside]
        enrolled = [(one["file"], one["sha256"]) for one in value.get("secureBoot", {}).get("files", ())]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError("it is no manifest") from error
    keys = f"{file.name.removesuffix(MANIFEST)}{KEYS}"
    for folder, found in (("", entries), (f"{keys}/", enrolled)):
        for name, digest in found:
            if not isinstance(name, str) or not isinstance(digest, str) or not _is_in(folder, name):
                raise ValueError("it names a file that is not beside it")
    return Manifest(tuple(name for name, _ in images), dict(entries), keys, dict(enrolled))


def read_checksums(file: Path) -> dict[str, str]:
    """SHA-256 by file name, of a list as sha256sum(1) writes it. Raises ValueError, in words; OSError."""
    with file.open("rb") as stream:
        data = stream.read(_LONGEST + 1)
    if len(data) > _LONGEST:
        raise ValueError("it is longer than any list of checksums")
    lines = [line.split("  ", 1) for line in data.decode("utf-8", "replace").splitlines()]
    if any(len(line) != 2 for line in lines):
        raise ValueError("it is no list of checksums")
    return {name: digest for digest, name in lines}


def digest_of(file: Path) -> str:
    """Hex SHA-256. Raises OSError."""
    total = hashlib.sha256()
    with file.open("rb", buffering=0) as stream:
        while block := stream.read(_BLOCK):
            total.update(block)
    return total.hexdigest()


def signature_faults(file: Path, digest: str, trusted: Trusted) -> Iterator[tuple[str, str, str | None]]:
    """For each form that somebody is trusted in: the form, who signed, and why that does not count (None where it
    does). `digest` is the file's SHA-256."""
    if trusted.keyring is not None:
        yield (OPENPGP, *_openpgp(file, trusted.keyring))
    if trusted.certificates:
        yield (X509, *_x509(file, digest, trusted))


def _openpgp(file: Path, keyring: Keyring) -> tuple[str, str | None]:
    try:
        signature = _signature(file, OPENPGP)
        signers = verify_file(file, signature, file.name, keyring)
    except TrustError as error:
        return "", error.message + (f": {error.cause}" if error.cause else "")
    except (OSError, ValueError) as error:
        return "", str(error)
    return signers[0], None


def _x509(file: Path, digest: str, trusted: Trusted) -> tuple[str, str | None]:
    try:
        signed = parse_signed_data(_signature(file, X509))
    except (OSError, ValueError) as error:
        return "", str(error)
    faults = ["it has no signer"]
    for signer in signed.signers:
        try:
            if signed.content is not None or signer.attributes is None or signer.digest != "sha256":
                raise SignatureError("it is not in the form that builds write")
            certificate = signer_of(signed, signer, None, bytes.fromhex(digest))
            anchor = trusted_by(certificate, [c.whole for c in signed.certificates], trusted.certificates)
            if anchor is None:
                raise SignatureError(f"{signer.name} is none of the certificates given")
            _check_dates(certificate, trusted.now)
        except SignatureError as error:
            faults.append(str(error))
        else:
            return signer.name, None
    return "", faults[-1]


def _check_dates(certificate: x509.Certificate, now: float) -> None:
    when = datetime.fromtimestamp(now, UTC)
    if not certificate.not_valid_before_utc <= when <= certificate.not_valid_after_utc:
        until = certificate.not_valid_after_utc
        raise SignatureError(f"the signer's certificate is valid until {until:%Y-%m-%d} and not now")


def _signature(file: Path, form: str) -> bytes:
    """Raises ValueError where there is none."""
    own = file.with_name(f"{file.name}{SUFFIXES[form]}")
    try:
        with own.open("rb") as stream:
            data = stream.read(_LONGEST_SIGNATURE + 1)
    except FileNotFoundError:
        raise ValueError(f"not signed: there is no {own.name}") from None
    if len(data) > _LONGEST_SIGNATURE:
        raise FormatError(f"{own.name} is longer than any signature")
    return data


def _is_in(folder: str, name: str) -> bool:
    """Whether it is `folder` and the plain name of a file, which can be one."""
    own = name.removeprefix(folder)
    if not name.startswith(folder) or own in ("", ".", "..") or "/" in own or "\0" in own:
        return False
    return not any("\ud800" <= character <= "\udfff" for character in own)  # halves of a character, which JSON allows

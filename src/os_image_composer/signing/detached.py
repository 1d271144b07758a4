"""Detached signatures of the files of a build: OpenPGP, and CMS with X.509 certificates.

`FileSigner` is what a build asks, whatever form and wherever the key is. No file is ever in memory as a whole.

Source: RFC 9580 §5.2 (signature of a binary document), RFC 5652 §5 (external signature).
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import pysequoia

from os_image_composer.errors import SigningError
from os_image_composer.formats.signed_data import DATA
from os_image_composer.signing.cms import signed_content
from os_image_composer.signing.generate import DEVELOPMENT_WORDS, is_development
from os_image_composer.signing.key_files import LOCKED_HINT, Passphrases, check_private, no_passphrase, sha256, subject
from os_image_composer.signing.signer import Signer

OPENPGP, X509 = "openpgp", "x509"
SUFFIXES = {OPENPGP: ".asc", X509: ".p7s"}


class FileSigner(Protocol):
    """`form` is `openpgp` or `x509`; `name` says who signs, `fingerprint` is that of the OpenPGP certificate or the
    SHA-256 of the X.509 one; `development` marks a key for trying things out. `sign` gives the signature of `file`,
    whose SHA-256 (hex) is known; raises SigningError."""

    @property
    def form(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def development(self) -> bool: ...
    def sign(self, file: Path, digest: str) -> bytes: ...


@dataclass(frozen=True)
class CmsFiles:
    """CMS, in DER. Needs nothing of the file but its digest; with RSA the same file gives the same signature."""

    signer: Signer
    form: str = X509

    @property
    def name(self) -> str:
        return subject(self.signer.certificate)

    @property
    def fingerprint(self) -> str:
        return sha256(self.signer.certificate)

    @property
    def development(self) -> bool:
        return is_development(self.signer.certificate)

    def sign(self, file: Path, digest: str) -> bytes:
        return signed_content(DATA, bytes.fromhex(digest), self.signer)


@dataclass(frozen=True)
class OpenPgpFiles:
    """OpenPGP, in ASCII armor. Reads the file once. The signature has the time of day and a random salt in it, so no
    two are the same."""

    key: pysequoia.PySigner = field(repr=False)
    certificate: pysequoia.Cert = field(repr=False)
    form: str = OPENPGP

    @property
    def name(self) -> str:
        return next((str(user) for user in self.certificate.user_ids), "(no user id)")

    @property
    def fingerprint(self) -> str:
        return str(self.certificate.fingerprint)

    @property
    def development(self) -> bool:
        return any(DEVELOPMENT_WORDS in str(user) for user in self.certificate.user_ids)

    def sign(self, file: Path, digest: str) -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder, "signature")  # the library writes to a path
            try:
                pysequoia.sign_file(self.key, str(file), str(out), mode=pysequoia.SignatureMode.DETACHED)
                return out.read_bytes()
            except Exception as error:  # pysequoia raises plain exceptions with a backtrace behind the first line
                cause = str(error).split("\n", 1)[0]
                raise SigningError("file-not-signed", f"{file} could not be signed", cause=cause) from None


def open_openpgp(file: Path, passphrases: Passphrases = no_passphrase) -> OpenPgpFiles:
    """The OpenPGP key of a file. Raises SigningError `key-unreadable`, `key-not-private`, `key-locked`."""
    check_private(file)
    try:
        secret = pysequoia.Tsk.from_bytes(file.read_bytes())
    except OSError as error:
        raise SigningError("key-unreadable", f"{file} cannot be read", cause=error.strerror) from error
    except Exception:
        raise SigningError(
            "key-unreadable",
            f"{file} is no OpenPGP key that can sign",
            hint="export the secret key: gpg --export-secret-keys --armor KEY",
        ) from None
    return OpenPgpFiles(_signer(secret, file, passphrases), secret.extract_certificate())


def _signer(secret: pysequoia.Tsk, file: Path, passphrases: Passphrases) -> pysequoia.PySigner:
    try:
        return secret.signer()
    except Exception as error:
        # The library has no other way to say that a passphrase is needed.
        if "encrypted" not in str(error).split("\n", 1)[0]:
            raise SigningError(
                "key-unreadable",
                f"{file} is no OpenPGP key that can sign",
                hint="export the secret key: gpg --export-secret-keys --armor KEY",
            ) from None
    passphrase = passphrases(file)
    if passphrase is None:
        raise SigningError("key-locked", f"the key {file} needs a passphrase", hint=LOCKED_HINT)
    try:
        return secret.signer(os.fsdecode(passphrase))
    except Exception:
        raise SigningError("key-locked", f"the passphrase given does not open the key {file}") from None

"""Private keys and certificates in files of the build host.

A key is read when something is signed, or looked at beforehand, and never copied. What is wrong is told in words that
hold nothing of the key.
"""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from os_image_composer.errors import SigningError

LEAST_BITS = 2048
#: Gives the passphrase of a key file, None where there is none to give.
Passphrases = Callable[[Path], bytes | None]
LOCKED_HINT = (
    "name the file that holds it: passphraseFile in the template, x509_passphrase_file or openpgp_passphrase_file in "
    "the settings; or set OS_IMAGE_COMPOSER_KEY_PASSPHRASE, or build at a terminal"
)
_LONGEST = 1 << 20
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True)
class FileKey:
    """A key in a file, opened: a `Signer`."""

    certificate: x509.Certificate
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

    def sign(self, message: bytes) -> bytes:
        if isinstance(self.key, rsa.RSAPrivateKey):
            return self.key.sign(message, padding.PKCS1v15(), hashes.SHA256())
        return self.key.sign(message, ec.ECDSA(hashes.SHA256()))

    def __repr__(self) -> str:
        return f"FileKey({subject(self.certificate)})"


def no_passphrase(_: Path) -> bytes | None:
    return None


def sha256(certificate: x509.Certificate) -> str:
    """The certificate's fingerprint in hex: what names it in ids, plans and manifests."""
    return hashlib.sha256(certificate.public_bytes(serialization.Encoding.DER)).hexdigest()


def subject(certificate: x509.Certificate) -> str:
    """Its subject for a reader."""
    return certificate.subject.rfc4514_string() or "(no subject)"


def read_certificate(file: Path) -> x509.Certificate:
    """A certificate, PEM or DER. Raises SigningError `certificate-unreadable`."""
    found = read_certificates(file)
    if len(found) != 1:
        raise SigningError(
            "certificate-unreadable",
            f"{file} holds {len(found)} certificates where one is needed",
            hint="keep the certificate of the key alone in this file",
        )
    return found[0]


def read_certificates(file: Path) -> list[x509.Certificate]:
    """The certificates of a file, one in DER or any number in PEM. Raises SigningError `certificate-unreadable`."""
    data = _content(file, "certificate-unreadable")
    try:
        if b"-----BEGIN" in data:
            return x509.load_pem_x509_certificates(data)
        return [x509.load_der_x509_certificate(data)]
    except (ValueError, UnsupportedAlgorithm) as error:
        cause = "it is a private key" if b"PRIVATE KEY-----" in data else str(error).split("\n", 1)[0]
        raise SigningError(
            "certificate-unreadable", f"{file} is no X.509 certificate", cause=cause, hint="give it in PEM or DER form"
        ) from error


def check_private(file: Path) -> None:
    """Raises SigningError `key-unreadable` where the file cannot be read, `key-not-private` where others than its
    owner may read or change it."""
    try:
        mode = file.stat().st_mode
    except OSError as error:
        raise SigningError("key-unreadable", f"the key {file} cannot be read", cause=error.strerror) from error
    if mode & _OTHERS:
        raise SigningError(
            "key-not-private",
            f"the key {file} can be read by others than its owner",
            cause=f"its mode is {stat.S_IMODE(mode):04o}",
            hint=f"chmod 600 {file}; if others could reach it, make a new key",
        )


def open_key(file: Path, certificate: x509.Certificate, passphrases: Passphrases = no_passphrase) -> FileKey:
    """The key of `certificate`. Raises SigningError `key-unreadable`, `key-not-private`, `key-locked` (a passphrase is
    needed, or it is another), `weak-key`, `key-differs` (it is another certificate's)."""
    check_private(file)
    key = _load(file, passphrases)
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise SigningError(
            "key-unreadable", f"the key {file} cannot be used", cause="it is neither RSA nor of an elliptic curve"
        )
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size < LEAST_BITS:
        raise SigningError("weak-key", f"the key {file} has {key.key_size} bits", hint=f"use {LEAST_BITS} or more")
    if key.public_key() != certificate.public_key():
        raise SigningError(
            "key-differs",
            f"the key {file} is not the one of its certificate",
            cause=f"the certificate is {subject(certificate)}, SHA-256 {sha256(certificate)}",
        )
    return FileKey(certificate, key)


def check_boot_key(file: Path, certificate: x509.Certificate) -> None:
    """Whether what boots can be signed with it; a key with a passphrase is not opened. Raises as `open_key`, and
    `key-not-rsa`: firmware that takes anything else is rare."""
    if not isinstance(certificate.public_key(), rsa.RSAPublicKey):
        raise SigningError(
            "key-not-rsa", f"the key {file} is not an RSA key", hint="firmware verifies RSA: use 2048 bits or more"
        )
    try:
        open_key(file, certificate)
    except SigningError as error:
        if error.reference != "key-locked":
            raise


def _load(file: Path, passphrases: Passphrases) -> PrivateKeyTypes:
    data = _content(file, "key-unreadable")
    pem = b"-----BEGIN" in data
    load = serialization.load_pem_private_key if pem else serialization.load_der_private_key
    try:
        return load(data, None)
    except TypeError:  # so says the library that a passphrase is needed
        pass
    except (ValueError, UnsupportedAlgorithm) as error:
        raise SigningError(
            "key-unreadable",
            f"{file} is no private key",
            cause="it is a certificate" if b"CERTIFICATE-----" in data else None,
            hint="give it in PEM or DER form",
        ) from error
    passphrase = passphrases(file)
    if passphrase is None:
        raise SigningError(
            "key-locked",
            f"the key {file} needs a passphrase",
            hint=LOCKED_HINT,
        )
    try:
        return load(data, passphrase)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # Without its cause: what libraries say of keys and passphrases is theirs to choose.
        raise SigningError("key-locked", f"the passphrase given does not open the key {file}") from None


def _content(file: Path, reference: str) -> bytes:
    try:
        with file.open("rb") as stream:
            data = stream.read(_LONGEST + 1)
    except OSError as error:
        raise SigningError(reference, f"{file} cannot be read", cause=error.strerror) from error
    if len(data) > _LONGEST:
        raise SigningError(reference, f"{file} is longer than any key or certificate")
    return data

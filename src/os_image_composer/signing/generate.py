"""Keys for trying things out, made here and marked so that nobody takes them for others."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pysequoia
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from os_image_composer.errors import SigningError

# An object identifier that anybody may make of a UUID (ITU-T X.667 §8): an extension with it marks the certificate.
DEVELOPMENT = x509.ObjectIdentifier(f"2.25.{uuid.UUID('0b5b9d3e-7c1c-4a43-8d0e-3f6c2a9d5e71').int}")
#: The same mark in the user id of an OpenPGP key.
DEVELOPMENT_WORDS = "development key, not for production"
_ORGANIZATION = f"os-image-composer {DEVELOPMENT_WORDS}"
_YEARS = 10
ROLES = {"PK": "platform key", "KEK": "key exchange key", "db": "boot signing key", "image": "image signing key"}


def is_development(certificate: x509.Certificate) -> bool:
    """Whether `generate` made the key, as its certificate says."""
    try:
        certificate.extensions.get_extension_for_oid(DEVELOPMENT)
    except x509.ExtensionNotFound:
        return False
    except ValueError:  # extensions that cannot be read at all
        return False
    return True


def generate(folder: Path, bits: int, now: float) -> tuple[Path, ...]:
    """Make PK, KEK, db and a key for the files of a build, each an RSA key of `bits` with its certificate, and the
    OpenPGP key of a build, in `folder`, which must be new or empty. Only their owner can read them. The paths written.
    Raises SigningError `keys-exist`, `keys-not-written`."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise SigningError(
                "keys-exist", f"{folder} is not empty", hint="name a new folder: keys are never written over others"
            )
        folder.chmod(0o700)
        written = []
        for name, data, secret in _files(bits, now):
            _write(folder / name, data, 0o600 if secret else 0o644)
            written.append(folder / name)
    except OSError as error:
        raise SigningError("keys-not-written", f"keys cannot be written to {folder}", cause=error.strerror) from error
    return tuple(written)


def _files(bits: int, now: float) -> Iterator[tuple[str, bytes, bool]]:
    """Name and content of each file, and whether it is secret."""
    for name, role in ROLES.items():
        key = rsa.generate_private_key(public_exponent=65537, key_size=bits)
        certificate = _certificate(key, role, now)
        yield f"{name}.key", key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), True
        yield f"{name}.pem", certificate.public_bytes(Encoding.PEM), False
        yield f"{name}.der", certificate.public_bytes(Encoding.DER), False
    suite = {2048: pysequoia.CipherSuite.RSA2k, 3072: pysequoia.CipherSuite.RSA3k, 4096: pysequoia.CipherSuite.RSA4k}
    secret = pysequoia.Tsk.generate(
        user_id=f"os-image-composer ({DEVELOPMENT_WORDS})",
        cipher_suite=suite[bits],
        profile=pysequoia.Profile.RFC4880,
    )
    yield "image.pgp", str(secret).encode(), True
    yield "image.asc", str(secret.extract_certificate()).encode(), False


def _certificate(key: rsa.RSAPrivateKey, role: str, now: float) -> x509.Certificate:
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, _ORGANIZATION),
            x509.NameAttribute(NameOID.COMMON_NAME, role),
        ]
    )
    start = datetime.fromtimestamp(now, UTC).replace(microsecond=0) - timedelta(hours=1)  # clocks differ
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=365 * _YEARS))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.UnrecognizedExtension(DEVELOPMENT, b"\x05\x00"), critical=False)
        .sign(key, hashes.SHA256())
    )


def _write(path: Path, data: bytes, mode: int) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(data)

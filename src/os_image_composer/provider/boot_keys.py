"""The keys that a template names for secure boot: their certificates for the plan, and the keys for the build.

Ids, plans and manifests hold SHA-256 and subject of a certificate; private keys are only opened when a build runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from os_image_composer.config.spec import BootKey, ImageSpec
from os_image_composer.errors import SigningError
from os_image_composer.signing.generate import is_development
from os_image_composer.signing.key_files import (
    Passphrases,
    check_private,
    open_key,
    read_certificate,
    read_certificates,
    sha256,
    subject,
)
from os_image_composer.signing.signer import Signer


@dataclass(frozen=True)
class KnownCertificate:
    """`development` says that `keys generate` made the key."""

    sha256: str
    subject: str
    development: bool
    der: bytes = field(repr=False)

    @classmethod
    def of(cls, certificate: x509.Certificate) -> KnownCertificate:
        der = certificate.public_bytes(Encoding.DER)
        return cls(sha256(certificate), subject(certificate), is_development(certificate), der)


@dataclass(frozen=True)
class BootCertificates:
    """Who may start what: one certificate each for PK and KEK, db's own, and what else is in db."""

    pk: KnownCertificate
    kek: KnownCertificate
    db: KnownCertificate
    trusted: tuple[KnownCertificate, ...]

    def all(self) -> Iterator[KnownCertificate]:
        yield from {c.sha256: c for c in (self.pk, self.kek, self.db, *self.trusted)}.values()


def boot_certificates(spec: ImageSpec) -> BootCertificates | None:
    """What the template names, None where it names nothing. Raises SigningError `certificate-unreadable`."""
    said = spec.secure_boot
    if said is None:
        return None
    db = KnownCertificate.of(_certificate(said.db))
    return BootCertificates(
        pk=KnownCertificate.of(_certificate(said.pk)) if said.pk else db,
        kek=KnownCertificate.of(_certificate(said.kek)) if said.kek else db,
        db=db,
        trusted=tuple(KnownCertificate.of(c) for file in said.trusted for c in read_certificates(file)),
    )


def boot_signers(spec: ImageSpec, passphrases: Passphrases) -> Mapping[str, Signer]:
    """The keys by the SHA-256 of their certificates, each file opened once. Raises SigningError."""
    return dict(_open(_named(spec), passphrases))


def development_keys(certificates: BootCertificates | None) -> tuple[str, ...]:
    """The subjects of the keys that are for trying things out."""
    return tuple(c.subject for c in (certificates.all() if certificates else ()) if c.development)


def development_warning(name: str) -> str:
    """What console and manifest say of such a key."""
    return f"signed with a development key, which anybody may have: {name}"


def _named(spec: ImageSpec) -> Iterator[BootKey]:
    said = spec.secure_boot
    if said is not None:
        yield from {(key.key, key.certificate): key for key in (said.db, said.kek, said.pk) if key is not None}.values()


def _open(keys: Iterable[BootKey], passphrases: Passphrases) -> Iterator[tuple[str, Signer]]:
    for said in keys:
        certificate = _certificate(said)
        try:
            yield sha256(certificate), open_key(said.key, certificate, passphrase_for(said.passphrase, passphrases))
        except SigningError as error:
            error.key = error.key or said.said
            raise


def passphrase_for(file: Path | None, others: Passphrases) -> Passphrases:
    """What opens a key: the first line of `file` where there is one, else what `others` gives. Raises SigningError."""
    if file is None:
        return others

    def read(_: Path) -> bytes:
        check_private(file)
        try:
            return file.read_bytes().split(b"\n", 1)[0].removesuffix(b"\r")
        except OSError as error:
            raise SigningError("key-unreadable", f"{file} cannot be read", cause=error.strerror) from error

    return read


def _certificate(said: BootKey) -> x509.Certificate:
    try:
        return read_certificate(said.certificate)
    except SigningError as error:
        error.key = error.key or said.said
        raise

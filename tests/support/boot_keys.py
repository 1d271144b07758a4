"""Keys that are made for a test run: PK, KEK, db, and those of files."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

from os_image_composer.build.clock import SystemClock
from os_image_composer.signing.enrolment import PlatformKeys
from os_image_composer.signing.generate import generate
from os_image_composer.signing.key_files import FileKey, open_key, read_certificate

PASSPHRASE = b"correct horse battery staple"


@dataclass(frozen=True)
class KeyFolder:
    path: Path

    @classmethod
    def made(cls, path: Path) -> KeyFolder:
        generate(path / "keys", 2048, SystemClock().now())
        return cls(path / "keys")

    def file(self, name: str) -> Path:
        return self.path / name

    def certificate(self, name: str = "db") -> x509.Certificate:
        return read_certificate(self.path / f"{name}.pem")

    def signer(self, name: str = "db") -> FileKey:
        return open_key(self.path / f"{name}.key", self.certificate(name))

    def platform(self) -> PlatformKeys:
        return PlatformKeys(self.signer("PK"), self.signer("KEK"), self.signer("db"))

    def template(self, **more: str) -> str:
        """The section of a template, as flow YAML."""
        return (
            f"{{key: {self.path}/db.key, certificate: {self.path}/db.pem, "
            f"kek: {{key: {self.path}/KEK.key, certificate: {self.path}/KEK.pem}}, "
            f"pk: {{key: {self.path}/PK.key, certificate: {self.path}/PK.pem}}"
            + "".join(f", {key}: {value}" for key, value in more.items())
            + "}"
        )


def locked_copy(signer: FileKey, path: Path) -> Path:
    """The key in a file that PASSPHRASE opens."""
    locking = BestAvailableEncryption(PASSPHRASE)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(signer.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, locking))
    return path

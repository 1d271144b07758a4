"""The keys of an image's owner in the forms in which machines take them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from cryptography import x509

from os_image_composer.build.step import Kind, Work
from os_image_composer.chroot.services import Services
from os_image_composer.signing.enrolment import PlatformKeys, enrolment


@dataclass(frozen=True)
class MakeEnrolment:
    """Certificates by their SHA-256: those of the platform key, the key exchange key and db, and what else db is to
    trust. `dated` is the date of the signed updates, in seconds since the epoch: a machine that has keys takes only
    later ones."""

    kind: ClassVar[str] = "make-enrolment"
    version: ClassVar[int] = 1
    result: ClassVar[Kind] = Kind.FILES

    pk: str
    kek: str
    db: str
    trusted: tuple[str, ...]
    dated: int

    def run(self, work: Work[Services]) -> None:
        signers = work.services.signers
        trusted = tuple(x509.load_der_x509_certificate(work.services.certificates[digest]) for digest in self.trusted)
        keys = PlatformKeys(signers[self.pk], signers[self.kek], signers[self.db], trusted)
        for name, content in enrolment(keys, self.dated).items():
            (work.output / name).write_bytes(content)

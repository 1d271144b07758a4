"""Everything of the EFI system partition that a firmware would start, signed; and the keys, where systemd-boot is to
enrol them."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from os_image_composer.build.step import Kind, Work
from os_image_composer.chroot.services import Services
from os_image_composer.errors import StepError
from os_image_composer.image.boot_files import ESP, LOADER_CONF, efi_programs
from os_image_composer.signing.authenticode import signed_program
from os_image_composer.signing.enrolment import VARIABLES

# Where systemd-boot looks for keys to enrol, by set; "auto" is the one that it takes by itself (systemd-boot(7)).
_AUTO = "loader/keys/auto"


@dataclass(frozen=True)
class SignBoot:
    """Takes the boot step's tree and gives it signed. `certificate` is the SHA-256 of the db certificate; `enroll` is
    `manual`, or how systemd-boot is to enrol the keys of the input `enrolment` (loader.conf(5), secure-boot-enroll)."""

    kind: ClassVar[str] = "sign-boot"
    version: ClassVar[int] = 1
    result: ClassVar[Kind] = Kind.FILES

    certificate: str
    enroll: str

    def run(self, work: Work[Services]) -> None:
        signer = work.services.signers[self.certificate]
        shutil.copytree(work.one("boot"), work.output, dirs_exist_ok=True)
        esp = work.output / ESP
        programs = list(efi_programs(esp))
        if not programs:
            raise StepError(
                "nothing-to-sign", "the boot loader's files hold no EFI program", key="systemConfig.secureBoot"
            )
        for path in programs:
            name = str(path.relative_to(esp))
            path.write_bytes(signed_program(path.read_bytes(), signer, name))
            work.say(f"signed {name}")
        if self.enroll != "manual":
            self._enrol(work, esp)

    def _enrol(self, work: Work[Services], esp: Path) -> None:
        """What takes the keys when the firmware has none: `loader/keys/auto`, and the word in loader.conf."""
        folder, conf = esp / _AUTO, esp / LOADER_CONF
        folder.mkdir(parents=True)
        for name in VARIABLES:
            shutil.copyfile(work.one("enrolment") / f"{name}.auth", folder / f"{name}.auth")
        conf.write_text(f"{conf.read_text()}secure-boot-enroll {self.enroll}\n")

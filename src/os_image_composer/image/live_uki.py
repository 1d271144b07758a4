"""What a live medium starts under secure boot: a unified kernel image for each entry of its menu.

A command line that was signed cannot be added to, so what an entry says more is part of an image of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from os_image_composer.build.step import Kind, Work
from os_image_composer.chroot.job import Tree
from os_image_composer.chroot.services import Services
from os_image_composer.errors import StepError
from os_image_composer.image.boot_files import ESP, UKI_FOLDER, place
from os_image_composer.image.initrd import initrd_file
from os_image_composer.image.kernel import KernelChoice
from os_image_composer.image.live_menu import variants
from os_image_composer.image.pe import check_uki
from os_image_composer.image.ukify import Parts, unify

_OS_RELEASE = "usr/lib/os-release"


@dataclass(frozen=True)
class MakeLiveUkis:
    """`label` is the medium's; `cmdline` what every entry says; `stub` is a path in the image root."""

    kind: ClassVar[str] = "make-live-ukis"
    version: ClassVar[int] = 1
    result: ClassVar[Kind] = Kind.FILES

    label: str
    cmdline: str
    kernels: KernelChoice
    stub: str
    source_date_epoch: int

    def run(self, work: Work[Services]) -> None:
        sandbox, target = work.services.sandbox, Tree(work.all("lower"))
        kernel = self.kernels.find(sandbox, target)[0]
        missing = [path for path in (self.stub, _OS_RELEASE) if not sandbox.glob(target, path)]
        if missing:
            raise StepError(
                "no-boot-files",
                f"the image has no /{missing[0]}",
                cause="under secure boot a live system starts from unified kernel images",
                hint="add the package that has it to systemConfig.packages (Debian: systemd-boot-efi)",
            )
        stub, original = work.scratch / "stub", work.scratch / "kernel"
        sandbox.export(target, {f"/{self.stub}": stub, f"/{kernel.path}": original})
        initrd = initrd_file(work.one("initrd"), kernel)
        for variant in variants("", self.label):
            uki = place(work.output, ESP, f"{UKI_FOLDER}/{variant.identifier}.efi")
            cmdline = " ".join((*variant.words, self.cmdline)).strip()
            parts = Parts(kernel, initrd, cmdline, self.stub, _OS_RELEASE, stub)
            unify(work, target, parts, uki, self.source_date_epoch)
            check_uki(uki, original, stub)

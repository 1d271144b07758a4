"""The unified kernel image: stub, kernel, initrd and command line in one EFI program, and the boot loader beside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from os_image_composer.build.step import Kind, Work
from os_image_composer.chroot.job import Tree
from os_image_composer.chroot.services import Services
from os_image_composer.errors import StepError
from os_image_composer.image.boot_files import ESP, LOADER_CONF, UKI_FOLDER
from os_image_composer.image.kernel import find_kernel
from os_image_composer.image.pe import check_uki
from os_image_composer.image.ukify import Parts, unify

_LOADER_CONF = b"timeout 0\nconsole-mode keep\n"
_OS_RELEASE = "usr/lib/os-release"


@dataclass(frozen=True)
class MakeUki:
    """`stub` and `loader` are paths in the image root; `cmdline` is the kernel's whole command line; `name` is the
    file name of the UKI, `removable_path` where firmware looks for a loader on a disk it has no entry for (UEFI
    specification §3.5.1.1)."""

    kind: ClassVar[str] = "make-uki"
    version: ClassVar[int] = 4
    result: ClassVar[Kind] = Kind.FILES

    name: str
    cmdline: str
    kernel: str
    modules: str
    kernel_version: str | None
    stub: str
    loader: str
    removable_path: str
    source_date_epoch: int

    def run(self, work: Work[Services]) -> None:
        sandbox = work.services.sandbox
        target = Tree(work.all("lower"))
        kernel = find_kernel(sandbox, target, self.kernel, self.modules, self.kernel_version)
        original, stub = work.scratch / "kernel", work.scratch / "stub"
        missing = [p for p in (self.stub, self.loader, _OS_RELEASE) if not sandbox.glob(target, p)]
        if missing:
            raise StepError(
                "no-boot-files",
                f"the image has no /{missing[0]}",
                hint="add the package that has it to systemConfig.packages",
            )
        loader, uki, conf = (
            self._on_esp(work, path) for path in (self.removable_path, f"{UKI_FOLDER}/{self.name}", LOADER_CONF)
        )
        conf.write_bytes(_LOADER_CONF)
        exported = {kernel.path: original, self.stub: stub, self.loader: loader}
        sandbox.export(target, {f"/{path}": file for path, file in exported.items()})
        parts = Parts(kernel, self.cmdline, self.stub, _OS_RELEASE, stub)
        unify(work, target, parts, uki, self.source_date_epoch)
        check_uki(uki, original, stub)

    def _on_esp(self, work: Work[Services], path: str) -> Path:
        """The file that becomes `path` of the EFI system partition; the folder it lies in is made."""
        file = work.output / ESP / path
        file.parent.mkdir(parents=True, exist_ok=True)
        return file

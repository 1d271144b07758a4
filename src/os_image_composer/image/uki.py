"""The unified kernel image: stub, kernel, initrd and command line in one EFI program, and the boot loader beside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from os_image_composer.build.step import Kind, Work
from os_image_composer.chroot.job import Tree
from os_image_composer.chroot.services import Services
from os_image_composer.config.distribution import PackagedFile
from os_image_composer.errors import StepError
from os_image_composer.image.boot_files import ESP, UKI_FOLDER, place
from os_image_composer.image.initrd import initrd_file
from os_image_composer.image.kernel import Kernel, KernelChoice
from os_image_composer.image.loader_systemd import Menu, counted, entry_name, install_systemd_boot, write_loader_conf
from os_image_composer.image.pe import check_uki
from os_image_composer.image.root_files import read_root_hash, sealed_command_line
from os_image_composer.image.ukify import Parts, unify

_OS_RELEASE = "usr/lib/os-release"


@dataclass(frozen=True)
class MakeUki:
    """`stub` and `loader` are paths in the image root; `cmdline` is the kernel's whole command line, but for the root
    hash, which the input `verity` has where the root is sealed; `name` begins the
    name of the UKIs, `removable_path` is where firmware looks for a loader on a disk it has no entry for (UEFI
    specification §3.5.1.1). Without a `menu` there are UKIs alone, for a boot loader of another step. `counts` is the
    program that confirms boots which are counted."""

    kind: ClassVar[str] = "make-uki"
    version: ClassVar[int] = 6
    result: ClassVar[Kind] = Kind.FILES

    name: str
    cmdline: str
    kernels: KernelChoice
    stub: str
    loader: str
    removable_path: str
    menu: Menu | None
    counts: PackagedFile | None
    source_date_epoch: int

    def run(self, work: Work[Services]) -> None:
        sandbox = work.services.sandbox
        target = Tree(work.all("lower"))
        kernels = self.kernels.find(sandbox, target)
        wanted = (self.stub, *((self.loader,) if self.menu else ()), _OS_RELEASE)
        missing = [p for p in wanted if not sandbox.glob(target, p)]
        if missing:
            raise StepError(
                "no-boot-files",
                f"the image has no /{missing[0]}",
                hint="add the package that has it to systemConfig.packages",
            )
        stub = work.scratch / "stub"
        sandbox.export(target, {f"/{self.stub}": stub})
        if self.menu:
            install_systemd_boot(work, target, self.loader, self.removable_path, self.counts)
            write_loader_conf(work.output, self.menu, self._entry(kernels[0]) if self.kernels.every else None, ".efi")
        for kernel in kernels:
            self._make(work, target, kernel, stub)

    def _entry(self, kernel: Kernel) -> str:
        return entry_name(self.name, kernel if self.kernels.every else None)

    def _command_line(self, work: Work[Services]) -> str:
        return " ".join([*(sealed_command_line(read_root_hash(f)) for f in work.all("verity")), self.cmdline])

    def _make(self, work: Work[Services], target: Tree, kernel: Kernel, stub: Path) -> None:
        original = work.scratch / f"kernel-{kernel.release}"
        uki = place(work.output, ESP, f"{UKI_FOLDER}/{counted(self._entry(kernel), self.menu)}.efi")
        work.services.sandbox.export(target, {f"/{kernel.path}": original})
        initrd = initrd_file(work.one("initrd"), kernel)
        parts = Parts(kernel, initrd, self._command_line(work), self.stub, _OS_RELEASE, stub)
        unify(work, target, parts, uki, self.source_date_epoch)
        check_uki(uki, original, stub)

"""The unified kernel image: stub, kernel, initrd and command line in one EFI program, and the boot loader beside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from os_image_composer.build.step import Kind, Work
from os_image_composer.chroot.job import Bind, Job, MountedTree, Tree
from os_image_composer.chroot.services import Services
from os_image_composer.config.distribution import PackagedFile
from os_image_composer.errors import StepError
from os_image_composer.formats.pe import content, parse_pe, room_of
from os_image_composer.formats.window import Window
from os_image_composer.image.boot_files import ESP, UKI_FOLDER, place
from os_image_composer.image.initrd import initrd_file
from os_image_composer.image.kernel import Kernel, KernelChoice
from os_image_composer.image.loader_systemd import Menu, counted, entry_name, install_systemd_boot, write_loader_conf
from os_image_composer.image.pe import check_uki

_UKI = "/uki.efi"
_INITRD = "/run/initrd"
_TARGET = "/target"
_OS_RELEASE = "usr/lib/os-release"

# The table of revocations that a signed UKI carries (shim, SBAT.md): the line that every table begins with, and what
# ukify adds to the stub's own unless it is told something else.
_SBAT_HEAD = "sbat,1,SBAT Version,sbat,1,https://github.com/rhboot/shim/blob/main/SBAT.md"
_SBAT_OF_UKIFY = b"uki,1,UKI,uki,1,https://uapi-group.org/specifications/specs/unified_kernel_image/\n\n\0"


@dataclass(frozen=True)
class MakeUki:
    """`stub` and `loader` are paths in the image root; `cmdline` is the kernel's whole command line; `name` begins the
    name of the UKIs, `removable_path` is where firmware looks for a loader on a disk it has no entry for (UEFI
    specification §3.5.1.1). Without a `menu` there are UKIs alone, for a boot loader of another step. `counts` is the
    program that confirms boots which are counted."""

    kind: ClassVar[str] = "make-uki"
    version: ClassVar[int] = 4
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

    def _make(self, work: Work[Services], target: Tree, kernel: Kernel, stub: Path) -> None:
        sandbox = work.services.sandbox
        original, upper = work.scratch / f"kernel-{kernel.release}", work.scratch / f"upper-{kernel.release}"
        uki = place(work.output, ESP, f"{UKI_FOLDER}/{counted(self._entry(kernel), self.menu)}.efi")
        sandbox.export(target, {f"/{kernel.path}": original})
        sandbox.new_layer(upper)
        tools = Tree(work.all("tools"), upper)
        initrd = initrd_file(work.one("initrd"), kernel)
        mounts = (MountedTree(target, _TARGET), Bind(initrd, _INITRD))
        env = {"SOURCE_DATE_EPOCH": str(self.source_date_epoch)}
        done = sandbox.run(Job(tools, (*self._ukify(kernel), *_sbat(stub)), mounts, env=env), work.say)
        if done.status:
            raise StepError("uki-not-made", "ukify made no unified kernel image", detail=done.tail())
        sandbox.export(tools, {_UKI: uki})
        check_uki(uki, original, stub)

    def _ukify(self, kernel: Kernel) -> tuple[str, ...]:
        return (
            # By name: its first line asks for env(1), which an environment of image tools need not have.
            "python3",
            "/usr/bin/ukify",
            "build",
            f"--linux={_TARGET}/{kernel.path}",
            f"--initrd={_INITRD}",
            f"--cmdline={self.cmdline}",
            f"--os-release=@{_TARGET}/{_OS_RELEASE}",
            f"--uname={kernel.release}",
            f"--stub={_TARGET}/{self.stub}",
            f"--output={_UKI}",
        )


def _sbat(stub: Path) -> tuple[str, ...]:
    """ukify writes the stub's SBAT lines and its own over the stub's section without asking how far the section
    reaches in memory. The stub of systemd 252 has 256 bytes there, and lacks room for more lines than its own."""
    data = Window.of(stub.read_bytes())
    try:
        image = parse_pe(data)
        fits = len(content(image, data, ".sbat").rstrip(b"\0")) + len(_SBAT_OF_UKIFY) <= room_of(image, ".sbat")
    except ValueError as error:
        raise StepError(
            "no-boot-files", f"{stub.name} is no stub of a unified kernel image", cause=str(error)
        ) from error
    return () if fits else (f"--sbat={_SBAT_HEAD}",)

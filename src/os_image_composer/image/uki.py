"""The unified kernel image: stub, kernel, initrd and command line in one EFI program, and the boot loader beside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from os_image_composer.build.step import Kind, Work
from os_image_composer.chroot.job import Bind, Job, MountedTree, Tree
from os_image_composer.chroot.services import Services
from os_image_composer.errors import StepError
from os_image_composer.formats.pe import content, parse_pe, room_of
from os_image_composer.formats.window import Window
from os_image_composer.image.boot_files import ESP, LOADER_CONF, UKI_FOLDER
from os_image_composer.image.initrd import INITRD
from os_image_composer.image.kernel import Kernel, find_kernel
from os_image_composer.image.pe import check_uki
from os_image_composer.image.verity import read_root_hash, sealed_command_line

_UKI = "/uki.efi"
_LOADER_CONF = b"timeout 0\nconsole-mode keep\n"
_INITRD = "/run/initrd"
_TARGET = "/target"
_OS_RELEASE = "usr/lib/os-release"

# The table of revocations that a signed UKI carries (shim, SBAT.md): the line that every table begins with, and what
# ukify adds to the stub's own unless it is told something else.
_SBAT_HEAD = "sbat,1,SBAT Version,sbat,1,https://github.com/rhboot/shim/blob/main/SBAT.md"
_SBAT_OF_UKIFY = b"uki,1,UKI,uki,1,https://uapi-group.org/specifications/specs/unified_kernel_image/\n\n\0"


@dataclass(frozen=True)
class MakeUki:
    """`stub` and `loader` are paths in the image root; `cmdline` is the kernel's whole command line, but for the root
    hash, which the input `verity` has where the root is sealed; `name` is the
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
        upper = work.scratch / "upper"
        sandbox.new_layer(upper)
        tools = Tree(work.all("tools"), upper)
        mounts = (MountedTree(target, _TARGET), Bind(work.one("initrd"), _INITRD))
        env = {"SOURCE_DATE_EPOCH": str(self.source_date_epoch)}
        done = sandbox.run(
            Job(tools, (*self._ukify(kernel, self._command_line(work)), *_sbat(stub)), mounts, env=env), work.say
        )
        if done.status:
            raise StepError("uki-not-made", "ukify made no unified kernel image", detail=done.tail())
        sandbox.export(tools, {_UKI: uki})
        check_uki(uki, original, stub)

    def _on_esp(self, work: Work[Services], path: str) -> Path:
        """The file that becomes `path` of the EFI system partition; the folder it lies in is made."""
        file = work.output / ESP / path
        file.parent.mkdir(parents=True, exist_ok=True)
        return file

    def _command_line(self, work: Work[Services]) -> str:
        return " ".join([*(sealed_command_line(read_root_hash(f)) for f in work.all("verity")), self.cmdline])

    def _ukify(self, kernel: Kernel, cmdline: str) -> tuple[str, ...]:
        return (
            # By name: its first line asks for env(1), which an environment of image tools need not have.
            "python3",
            "/usr/bin/ukify",
            "build",
            f"--linux={_TARGET}/{kernel.path}",
            f"--initrd={_INITRD}/{INITRD}",
            f"--cmdline={cmdline}",
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

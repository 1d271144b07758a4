"""GRUB for a BIOS: its two programs, and the initrds and the menu as files of the root filesystem, which GRUB reads.

The kernels are in /boot already, where their packages have put them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from os_image_composer.build.step import Kind, Work
from os_image_composer.chroot.job import Tree, WriteFile
from os_image_composer.chroot.services import Services
from os_image_composer.config.distribution import GrubPlatform, PackagedFile
from os_image_composer.image.boot_files import BIOS, BIOS_BOOT, BIOS_CORE, ROOT, place, require
from os_image_composer.image.grub_config import grub_config, linux_entry
from os_image_composer.image.grub_program import BIOS_MODULES, make_grub
from os_image_composer.image.initrd import initrd_file
from os_image_composer.image.kernel import KernelChoice
from os_image_composer.image.kernel_files import system_of

_FOLDER = "boot/grub"


@dataclass(frozen=True)
class MakeGrubBios:
    """`root` is the number of the root's partition on the disk that GRUB was started from. The rest is as in
    `MakeGrubEfi`."""

    kind: ClassVar[str] = "make-grub-bios"
    version: ClassVar[int] = 1
    result: ClassVar[Kind] = Kind.FILES

    cmdline: str
    kernels: KernelChoice
    mkimage: PackagedFile
    platform: GrubPlatform
    root: int
    timeout: int

    def run(self, work: Work[Services]) -> None:
        sandbox = work.services.sandbox
        target = Tree(work.all("lower"))
        boot = PackagedFile(f"{self.platform.modules.path}/boot.img", self.platform.modules.package)
        require(work, target, boot)
        (work.output / BIOS).mkdir()
        sandbox.export(target, {f"/{boot.path}": work.output / BIOS_BOOT})
        prefix = f"(,gpt{self.root})/{_FOLDER}"
        make_grub(work, target, self.mkimage, self.platform, prefix, BIOS_MODULES, work.output / BIOS_CORE)
        title = system_of(work, target).title
        entries = []
        for kernel in self.kernels.find(sandbox, target):
            initrd = f"boot/initrd.img-{kernel.release}"
            place(work.output, ROOT, initrd).write_bytes(initrd_file(work.one("initrd"), kernel).read_bytes())
            entries.append(linux_entry(title, kernel.release, f"/{kernel.path}", f"/{initrd}", self.cmdline))
        place(work.output, ROOT, f"{_FOLDER}/grub.cfg").write_text(grub_config(entries, self.timeout, self.cmdline))


@dataclass(frozen=True)
class PlaceBootFiles:
    """What of the boot step's folder belongs into the root filesystem, as a layer; root alone reads it."""

    kind: ClassVar[str] = "place-boot-files"
    version: ClassVar[int] = 1
    result: ClassVar[Kind] = Kind.TREE

    def run(self, work: Work[Services]) -> None:
        folder = work.one("boot") / ROOT
        files = {f"/{path.relative_to(folder)}": path for path in sorted(folder.rglob("*")) if path.is_file()}
        edits = [WriteFile(path, file.read_bytes(), 0o600) for path, file in files.items()]
        work.services.sandbox.edit(Tree(work.all("lower"), work.output), edits)

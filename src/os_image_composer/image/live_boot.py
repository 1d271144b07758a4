"""What starts a live system: GRUB for UEFI and for a BIOS, one menu for both, the kernel and its initrd.

A medium's own file tells GRUB which of all disks it was started from, whatever the firmware calls that.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from os_image_composer.build.step import Kind, Work
from os_image_composer.chroot.job import Tree
from os_image_composer.chroot.services import Services
from os_image_composer.config.distribution import GrubData, PackagedFile
from os_image_composer.image.boot_files import BIOS, ESP, place, require
from os_image_composer.image.grub_config import MenuEntry, grub_config
from os_image_composer.image.grub_program import BIOS_MODULES, EFI_MODULES, LINUX_MODULES, make_grub
from os_image_composer.image.initrd import initrd_file
from os_image_composer.image.kernel import KernelChoice
from os_image_composer.image.kernel_files import system_of
from os_image_composer.image.live_menu import variants
from os_image_composer.image.medium import EL_TORITO, HYBRID, LIVE_FOLDER, MEDIUM

_MENU = "boot/grub/grub.cfg"
_MEDIUM_MODULES = ("iso9660", "part_msdos")


@dataclass(frozen=True)
class MakeLiveBoot:
    """`label` is the medium's volume identifier, `mark` the name of the file that only this medium has. `title` None is
    the name that the system gives itself; `cmdline` the kernel's command line."""

    kind: ClassVar[str] = "make-live-boot"
    version: ClassVar[int] = 1
    result: ClassVar[Kind] = Kind.FILES

    title: str | None
    label: str
    mark: str
    cmdline: str
    kernels: KernelChoice
    grub: GrubData
    removable_path: str
    timeout: int

    def run(self, work: Work[Services]) -> None:
        sandbox, target = work.services.sandbox, Tree(work.all("lower"))
        place(work.output, MEDIUM, self.mark).write_bytes(b"")
        title = self.title or system_of(work, target).title
        self._efi(work, target)
        self._bios(work, target)
        kernel = self.kernels.find(sandbox, target)[0]
        linux, initrd = f"{LIVE_FOLDER}/vmlinuz", f"{LIVE_FOLDER}/initrd.img"
        sandbox.export(target, {f"/{kernel.path}": place(work.output, MEDIUM, linux)})
        place(work.output, MEDIUM, initrd).write_bytes(initrd_file(work.one("initrd"), kernel).read_bytes())
        entries = self._entries(title, f"/{linux}", f"/{initrd}")
        place(work.output, MEDIUM, _MENU).write_text(grub_config(entries, self.timeout, self.cmdline))

    def _efi(self, work: Work[Services], target: Tree) -> None:
        platform = self.grub.efi
        assert platform is not None
        program = place(work.output, ESP, self.removable_path)
        modules = (*EFI_MODULES, *LINUX_MODULES, *_MEDIUM_MODULES)
        # Started from a CD, GRUB sees the medium and not the image of the EFI system partition that it came from.
        folder = _MENU.rpartition("/")[0]
        early = f"search --no-floppy --set=root --file /{self.mark}\nset prefix=($root)/{folder}\n"
        make_grub(work, target, self.grub.mkimage, platform, f"/{folder}", modules, program, early)

    def _bios(self, work: Work[Services], target: Tree) -> None:
        platform = self.grub.bios
        assert platform is not None
        hybrid = PackagedFile(f"{platform.modules.path}/boot_hybrid.img", platform.modules.package)
        require(work, target, hybrid)
        (work.output / BIOS).mkdir(exist_ok=True)
        work.services.sandbox.export(target, {f"/{hybrid.path}": work.output / HYBRID})
        eltorito = replace(platform, format=f"{platform.format}-eltorito")
        modules = (*BIOS_MODULES, *_MEDIUM_MODULES)
        folder = _MENU.rpartition("/")[0]
        core = place(work.output, MEDIUM, EL_TORITO)
        make_grub(work, target, self.grub.mkimage, eltorito, f"/{folder}", modules, core)

    def _entries(self, title: str, linux: str, initrd: str) -> list[MenuEntry]:
        words = self.cmdline.split()
        return [
            MenuEntry(v.title, v.identifier, (("linux", linux, *v.words, *words), ("initrd", initrd)))
            for v in variants(title, self.label)
        ]

"""What starts a live system: GRUB for UEFI and for a BIOS, one menu for both, the kernel and its initrd.

A medium's own file tells GRUB which of all disks it was started from, whatever the firmware calls that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from os_image_composer.build.step import Kind, Work
from os_image_composer.chroot.job import Tree
from os_image_composer.chroot.services import Services
from os_image_composer.config.distribution import GrubData
from os_image_composer.image.boot_files import ESP, place
from os_image_composer.image.grub_program import EFI_MODULES, LINUX_MODULES, make_grub
from os_image_composer.image.kernel import KernelChoice
from os_image_composer.image.kernel_files import system_of
from os_image_composer.image.live_grub import MEDIUM_MODULES, MENU_FOLDER, place_bios, place_kernel, place_menu
from os_image_composer.image.live_menu import variants
from os_image_composer.image.medium import MEDIUM


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
        target = Tree(work.all("lower"))
        place(work.output, MEDIUM, self.mark).write_bytes(b"")
        title = self.title or system_of(work, target).title
        self._efi(work, target)
        place_bios(work, target, self.grub)
        place_kernel(work, target, self.kernels)
        place_menu(work, variants(title, self.label), self.timeout, self.cmdline)

    def _efi(self, work: Work[Services], target: Tree) -> None:
        platform = self.grub.efi
        assert platform is not None
        program = place(work.output, ESP, self.removable_path)
        modules = (*EFI_MODULES, *LINUX_MODULES, *MEDIUM_MODULES)
        # Started from a CD, GRUB sees the medium and not the image of the EFI system partition that it came from.
        early = f"search --no-floppy --set=root --file /{self.mark}\nset prefix=($root)/{MENU_FOLDER}\n"
        make_grub(work, target, self.grub.mkimage, platform, f"/{MENU_FOLDER}", modules, program, early)

"""GRUB for EFI. Kernels and initrds are on the EFI system partition, beside GRUB, so that root may be of any kind and
GRUB needs no other filesystem than the firmware's own."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import ClassVar

from os_image_composer.build.step import Kind, Work
from os_image_composer.chroot.job import Tree
from os_image_composer.chroot.services import Services
from os_image_composer.config.distribution import GrubPlatform, PackagedFile
from os_image_composer.image.boot_files import ESP, UKI_FOLDER, place
from os_image_composer.image.grub_config import MenuEntry, chain_entry, grub_config, linux_entry
from os_image_composer.image.grub_program import EFI_MODULES, LINUX_MODULES, make_grub
from os_image_composer.image.kernel import Kernel, KernelChoice
from os_image_composer.image.kernel_files import copy_kernels, system_of
from os_image_composer.image.loader_systemd import entry_name

_PREFIX = "/grub"


@dataclass(frozen=True)
class MakeGrubEfi:
    """`name` is the folder of the kernels' files; the rest is as in `MakeUki`."""

    kind: ClassVar[str] = "make-grub-efi"
    version: ClassVar[int] = 1
    result: ClassVar[Kind] = Kind.FILES

    name: str
    cmdline: str
    kernels: KernelChoice
    mkimage: PackagedFile
    platform: GrubPlatform
    removable_path: str
    timeout: int

    def run(self, work: Work[Services]) -> None:
        target = Tree(work.all("lower"))
        grub = place(work.output, ESP, self.removable_path)
        make_grub(work, target, self.mkimage, self.platform, _PREFIX, (*EFI_MODULES, *LINUX_MODULES), grub)
        entries = linux_entries(work, target, self.kernels, self.name, self.cmdline)
        place(work.output, ESP, f"{_PREFIX}/grub.cfg".lstrip("/")).write_text(
            grub_config(entries, self.timeout, self.cmdline)
        )


@dataclass(frozen=True)
class ChainGrubEfi:
    """GRUB that can start nothing but EFI programs, for the UKIs of the input `uki`, which come along. `name` is that
    of `MakeUki`."""

    kind: ClassVar[str] = "chain-grub-efi"
    version: ClassVar[int] = 2
    result: ClassVar[Kind] = Kind.FILES

    name: str
    cmdline: str
    kernels: KernelChoice
    mkimage: PackagedFile
    platform: GrubPlatform
    removable_path: str
    timeout: int

    def run(self, work: Work[Services]) -> None:
        target = Tree(work.all("lower"))
        shutil.copytree(work.one("uki"), work.output, dirs_exist_ok=True)
        grub = place(work.output, ESP, self.removable_path)
        make_grub(work, target, self.mkimage, self.platform, _PREFIX, EFI_MODULES, grub)
        title = system_of(work, target).title
        kernels = self.kernels.find(work.services.sandbox, target)
        entries = [chain_entry(title, k.release, f"/{UKI_FOLDER}/{self._uki(k)}.efi") for k in kernels]
        place(work.output, ESP, f"{_PREFIX}/grub.cfg".lstrip("/")).write_text(
            grub_config(entries, self.timeout, self.cmdline)
        )

    def _uki(self, kernel: Kernel) -> str:
        return entry_name(self.name, kernel if self.kernels.every else None)


def linux_entries(
    work: Work[Services], target: Tree, choice: KernelChoice, folder: str, cmdline: str
) -> list[MenuEntry]:
    """The kernels on the EFI system partition, and an entry for each."""
    kernels = choice.find(work.services.sandbox, target)
    title = system_of(work, target).title
    return [
        linux_entry(title, files.kernel.release, f"/{files.linux}", f"/{files.initrd}", cmdline)
        for files in copy_kernels(work, target, kernels, folder.lower())
    ]

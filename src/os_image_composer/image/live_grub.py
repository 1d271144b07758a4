"""GRUB on a medium: what it reads there under any firmware, and the program that a BIOS starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from os_image_composer.build.step import Work
from os_image_composer.chroot.job import Tree
from os_image_composer.chroot.services import Services
from os_image_composer.config.distribution import GrubData, PackagedFile
from os_image_composer.image.boot_files import BIOS, place, require
from os_image_composer.image.grub_config import MenuEntry, grub_config
from os_image_composer.image.grub_program import BIOS_MODULES, make_grub
from os_image_composer.image.initrd import initrd_file
from os_image_composer.image.kernel import Kernel, KernelChoice
from os_image_composer.image.live_menu import Variant
from os_image_composer.image.medium import EL_TORITO, HYBRID, LIVE_FOLDER, MEDIUM

MENU_FOLDER = "boot/grub"
MEDIUM_MODULES = ("iso9660", "part_msdos")
_LINUX, _INITRD = f"{LIVE_FOLDER}/vmlinuz", f"{LIVE_FOLDER}/initrd.img"


def place_bios(work: Work[Services], target: Tree, grub: GrubData) -> None:
    """GRUB as a BIOS starts it from a CD, and the boot sector that finds it on a disk."""
    platform = grub.bios
    assert platform is not None
    hybrid = PackagedFile(f"{platform.modules.path}/boot_hybrid.img", platform.modules.package)
    require(work, target, hybrid)
    (work.output / BIOS).mkdir(exist_ok=True)
    work.services.sandbox.export(target, {f"/{hybrid.path}": work.output / HYBRID})
    eltorito = replace(platform, format=f"{platform.format}-eltorito")
    core = place(work.output, MEDIUM, EL_TORITO)
    make_grub(work, target, grub.mkimage, eltorito, f"/{MENU_FOLDER}", (*BIOS_MODULES, *MEDIUM_MODULES), core)


def place_kernel(work: Work[Services], target: Tree, kernels: KernelChoice) -> Kernel:
    """The kernel and its initrd on the medium."""
    kernel = kernels.find(work.services.sandbox, target)[0]
    work.services.sandbox.export(target, {f"/{kernel.path}": place(work.output, MEDIUM, _LINUX)})
    place(work.output, MEDIUM, _INITRD).write_bytes(initrd_file(work.one("initrd"), kernel).read_bytes())
    return kernel


def place_menu(work: Work[Services], variants: Sequence[Variant], timeout: int, cmdline: str) -> None:
    """The menu; `cmdline` is the template's."""
    words = cmdline.split()
    commands = ((v, (("linux", f"/{_LINUX}", *v.words, *words), ("initrd", f"/{_INITRD}"))) for v in variants)
    entries = [MenuEntry(v.title, v.identifier, starts) for v, starts in commands]
    place(work.output, MEDIUM, f"{MENU_FOLDER}/grub.cfg").write_text(grub_config(entries, timeout, cmdline))

"""The distribution's own signed chain: shim, the boot loader that it starts, and what that starts, all as the packages
have them. Only a boot loader's settings, and with GRUB the initrd and the menu, are made here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import ClassVar

from os_image_composer.build.step import Kind, Work
from os_image_composer.chroot.job import Tree
from os_image_composer.chroot.services import Services
from os_image_composer.config.distribution import PackagedFile, VendorChain
from os_image_composer.errors import StepError
from os_image_composer.formats.pe import content, parse_pe
from os_image_composer.formats.window import FileSource, FormatError, Window
from os_image_composer.image.boot_files import ESP, UKI_FOLDER, efi_programs, place, require
from os_image_composer.image.grub_config import grub_config
from os_image_composer.image.kernel import KernelChoice
from os_image_composer.image.loader_grub_efi import linux_entries
from os_image_composer.image.loader_systemd import Menu, counted, write_loader_conf


@dataclass(frozen=True)
class PlaceVendorChain:
    """`name` and `cmdline` are for GRUB's menu; a unified kernel image of the vendor's has a command line of its own.
    `kernels` chooses among kernels, or where the chain has them among unified kernel images. `counts` is as in
    `MakeUki`."""

    kind: ClassVar[str] = "place-vendor-chain"
    version: ClassVar[int] = 2
    result: ClassVar[Kind] = Kind.FILES

    name: str
    cmdline: str
    kernels: KernelChoice
    chain: VendorChain
    removable_path: str
    menu: Menu
    counts: PackagedFile | None = None

    def run(self, work: Work[Services]) -> None:
        target = Tree(work.all("lower"))
        chain = self.chain
        needed = (chain.shim, chain.loader, chain.key_manager, chain.uki, self.counts)
        require(work, target, *(file for file in needed if file is not None))
        places = {
            chain.shim.path: self.removable_path,
            chain.loader.path: chain.loader_path,
            chain.key_manager.path: chain.key_manager_path,
        }
        files = {f"/{path}": place(work.output, ESP, at) for path, at in places.items()}
        work.services.sandbox.export(target, files)
        if chain.config is not None:
            entries = linux_entries(work, target, self.kernels, self.name, self.cmdline)
            menu = grub_config(entries, self.menu.timeout, self.cmdline)
            place(work.output, ESP, chain.config).write_text(menu)
        else:
            self._unified(work, target)
        check_signed(work.output / ESP)

    def _unified(self, work: Work[Services], target: Tree) -> None:
        """The vendor's unified kernel images under the vendor's names."""
        chosen = self.kernels.find(work.services.sandbox, target)
        names = [PurePosixPath(kernel.path).stem for kernel in chosen]
        for kernel, name in zip(chosen, names, strict=True):
            file = place(work.output, ESP, f"{UKI_FOLDER}/{counted(name, self.menu)}.efi")
            work.services.sandbox.export(target, {f"/{kernel.path}": file})
            work.say(f"{name}: the vendor's command line is '{_command_line(file)}'")
        write_loader_conf(work.output, self.menu, names[0].lower() if self.kernels.every else None, ".efi")


def check_signed(esp: Path) -> None:
    """Raises StepError `unsigned-program` for a program on the EFI system partition that nobody has signed: firmware
    with secure boot would not start it, and so the package is not the one that was asked for. Whose signature it is,
    and whether it holds, is the firmware's and shim's to say."""
    for path in efi_programs(esp):
        with FileSource(path) as source:
            try:
                signatures = parse_pe(Window.over(source)).certificates
            except FormatError as error:
                raise _unsigned(path.relative_to(esp), f"it is no EFI program: {error}") from error
        if not signatures:
            raise _unsigned(path.relative_to(esp), "the package in the image has it without a signature")


def _unsigned(name: Path, cause: str) -> StepError:
    return StepError(
        "unsigned-program",
        f"/{name} of the vendor's chain carries no signature",
        cause=cause,
        key="systemConfig.bootloader.chain",
        hint="take the package from the vendor's own repository, or write chain: own",
    )


def _command_line(uki: Path) -> str:
    """Raises StepError `uki-malformed` where the vendor's file is no unified kernel image."""
    with FileSource(uki) as source:
        file = Window.over(source)
        try:
            image = parse_pe(file)
            image.section(".linux")
            said = content(image, file, ".cmdline") if image.has(".cmdline") else b""
        except FormatError as error:
            raise StepError("uki-malformed", f"{uki.name} is no unified kernel image", cause=str(error)) from error
    return said.rstrip(b"\0").decode("utf-8", "replace").strip()

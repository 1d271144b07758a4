"""By which firmware does an image start?"""

from __future__ import annotations

from pathlib import Path

from os_image_composer.boot.machine import FirmwareKind
from os_image_composer.formats.filesystem import NodeKind
from os_image_composer.formats.partition_table import read_partition_table
from os_image_composer.formats.virtual_disk import recognise
from os_image_composer.formats.volumes import open_filesystem
from os_image_composer.formats.window import FileSource, FormatError, Window

# Where firmware looks on a disk that it has no entry for (UEFI specification §3.5.1.1).
_REMOVABLE = "EFI/BOOT"
# An EFI system partition's type in a GPT (UEFI specification §5.3.3) and in an MBR (§5.2.2).
_ESP = ("C12A7328-F81F-11D2-BA4B-00A0C93EC93B", "0XEF")


def firmware_kind(image: Path) -> FirmwareKind:
    """UEFI where an EFI system partition has a program for it, or where nothing tells, as of a format of a hypervisor
    that is not looked into; a BIOS where only the boot sector has one."""
    with FileSource(image) as source:
        disk = Window.over(source)
        try:
            if _has_efi_program(disk) or recognise(disk):
                return FirmwareKind.UEFI
        except (FormatError, OSError):
            return FirmwareKind.UEFI
        # A table without a boot loader begins with zeros (UEFI specification §5.2.3: "unused by UEFI systems").
        return FirmwareKind.BIOS if any(disk.head(8)) else FirmwareKind.UEFI


def _has_efi_program(disk: Window) -> bool:
    table = read_partition_table(disk)
    for partition in table.partitions if table else ():
        if partition.type.upper() not in _ESP:
            continue
        files = open_filesystem(disk.part(partition.start, partition.size))
        folder = files.find(_REMOVABLE) if files else None
        if files and folder and folder.kind is NodeKind.DIRECTORY:
            return any(entry.name.casefold().endswith(".efi") for entry in files.entries(folder))
    return False

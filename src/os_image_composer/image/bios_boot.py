"""GRUB's programs for a BIOS on a disk: the boot sector, and the core in a partition of its own.

What grub-bios-setup does to a disk, done to a file. The boot sector is told where the core begins, and the core's own
first sector where the rest of it is (GRUB, grub-core/boot/i386/pc/boot.S and diskboot.S; util/setup.c).
"""

from __future__ import annotations

import struct
from pathlib import Path

from os_image_composer.errors import StepError
from os_image_composer.image.layout import SECTOR, PlacedPartition

# In the boot sector: the sector at which the core begins, and the jump past a check of the drive's number, which
# some BIOSes need and which is wrong for disks.
_KERNEL_SECTOR = 0x5C
_DRIVE_CHECK = 0x66
_JUMP, _NOP = b"\xeb\x05", b"\x90\x90"
# Of the boot sector that is there these stay: a FAT's parameters, the disk's id and the protective partition
# (UEFI specification §5.2.3).
_KEPT = ((0x03, 0x5A), (0x1B8, 0x200))
# In the core's first sector: where the rest of it is, how many sectors, and the segment that they are read to.
_BLOCK_LIST = 0x1F4
_SEGMENT = 0x0820


def write_bios_boot(image: Path, partition: PlacedPartition, boot: bytes, core: bytes) -> None:
    """Write both into the disk `image`, whose `partition` is of type `bios`. Raises StepError `grub-not-written`."""
    if len(boot) != SECTOR or len(core) <= SECTOR or boot[_DRIVE_CHECK : _DRIVE_CHECK + 2] not in (_JUMP, _NOP):
        raise StepError("grub-not-written", "what GRUB's packages have as boot sector or core is none")
    if len(core) > partition.size:
        raise StepError(
            "grub-not-written",
            f"GRUB's core has {len(core)} bytes; partition {partition.id} has {partition.size}",
            hint=f"give partition {partition.id} more room in disk.partitions",
        )
    with image.open("r+b") as file:
        before = file.read(SECTOR)
        file.seek(0)
        file.write(boot_sector(boot, before, partition.start // SECTOR))
        file.seek(partition.start)
        file.write(placed_core(core, partition.start // SECTOR))


def boot_sector(boot: bytes, before: bytes, start: int) -> bytes:
    """The boot sector for a core that begins at sector `start`; `before` is what is there."""
    sector = bytearray(boot)
    struct.pack_into("<Q", sector, _KERNEL_SECTOR, start)
    sector[_DRIVE_CHECK : _DRIVE_CHECK + 2] = _NOP
    for begin, end in _KEPT:
        sector[begin:end] = before[begin:end]
    return bytes(sector)


def placed_core(core: bytes, start: int) -> bytes:
    """The core for a place that begins at sector `start`, in whole sectors."""
    sectors = -(-len(core) // SECTOR)
    placed = bytearray(core.ljust(sectors * SECTOR, b"\0"))
    struct.pack_into("<QHH", placed, _BLOCK_LIST, start + 1, sectors - 1, _SEGMENT)
    return bytes(placed)

"""Commands that write a FAT filesystem into a disk image at an offset.

mtools takes times from SOURCE_DATE_EPOCH and puts entries in the order in which they are written: one command an
entry, sorted, never a recursive copy, which follows the order of the host's folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath

from os_image_composer.image.layout import SECTOR, PlacedPartition

_KIB = 1024


def mkfs_fat(image: str, partition: PlacedPartition) -> tuple[str, ...]:
    """Make the empty filesystem: serial number and label given, block count (KiB) explicit."""
    label = ("-n", partition.label.upper()) if partition.label else ()
    return (
        "mkfs.fat",
        *("-F", str(partition.fat_bits), "-i", partition.filesystem_uuid.replace("-", ""), *label),
        *("--invariant", f"--offset={partition.start // SECTOR}"),
        image,
        str(partition.size // _KIB),
    )


def fill(image: str, partition: PlacedPartition, files: Mapping[str, str]) -> list[tuple[str, ...]]:
    """Commands that make the folders and copy `files` (name in the filesystem: path in the sandbox)."""
    drive = f"{image}@@{partition.start}"
    folders = {str(f) for name in files for f in PurePosixPath(name).parents if str(f) != "."}
    made = [("mmd", "-i", drive, *(f"::/{folder}" for folder in sorted(folders)))] if folders else []
    return [*made, *(("mcopy", "-i", drive, files[name], f"::/{name}") for name in sorted(files))]

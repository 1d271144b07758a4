"""Commands that write a FAT filesystem into a disk image at an offset.

mtools takes times from SOURCE_DATE_EPOCH and puts entries in the order in which they are written: one command an
entry, sorted, never a recursive copy, which follows the order of the host's folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath

from os_image_composer.image.layout import SECTOR, PlacedPartition

_KIB = 1024
# Fewer clusters make a FAT16 of what says it is FAT32, and firmware refuses it (Microsoft's FAT specification, "FAT
# type determination"); the tables and reserved sectors take a little more off.
_FEWEST_FAT32_CLUSTERS = 65_525 + 2_000


def mkfs_fat(image: str, partition: PlacedPartition) -> tuple[str, ...]:
    """Make the empty filesystem: serial number and label given, block count (KiB) explicit."""
    label = ("-n", partition.label.upper()) if partition.label else ()
    return (
        "mkfs.fat",
        # --invariant fixes the label's time, and a serial number, which a later -i replaces.
        "--invariant",
        *("-F", str(partition.fat_bits), *_cluster_size(partition)),
        *("-i", partition.filesystem_uuid.replace("-", ""), *label),
        f"--offset={partition.start // SECTOR}",
        image,
        str(partition.size // _KIB),
    )


def _cluster_size(partition: PlacedPartition) -> tuple[str, ...]:
    """The largest cluster, up to 4 KiB, that gives a FAT32 clusters enough; mkfs.fat's own choice may not."""
    if partition.fat_bits != 32:
        return ()
    sectors = (8, 4, 2, 1)
    fitting = [s for s in sectors if partition.size // (s * SECTOR) >= _FEWEST_FAT32_CLUSTERS]
    return ("-s", str((fitting or [1])[0]))


def fill(image: str, partition: PlacedPartition, files: Mapping[str, str]) -> list[tuple[str, ...]]:
    """Commands that make the folders and copy `files` (name in the filesystem: path in the sandbox)."""
    drive = f"{image}@@{partition.start}"
    folders = {str(f) for name in files for f in PurePosixPath(name).parents if str(f) != "."}
    made = [("mmd", "-i", drive, *(f"::/{folder}" for folder in sorted(folders)))] if folders else []
    return [*made, *(("mcopy", "-i", drive, files[name], f"::/{name}") for name in sorted(files))]

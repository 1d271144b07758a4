"""Commands that write an ext4 filesystem into a disk image at an offset, without mounting anything.

Every source of difference is given: UUID, hash seed, block and inode size, features; mke2fs from 1.47.1 on takes
times, clamped, from SOURCE_DATE_EPOCH. Extended attributes are not copied from the tree (`no_copy_xattrs`), which
would take the build host's labels along, but written afterwards from an allow-list in one debugfs batch. So are the
times of the last access and change: clamped, the first is that of a package on a host that mounts its disks `noatime`,
and the second the clock's, which nobody can set, on a host whose clock is behind.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

from os_image_composer.image.layout import PlacedPartition

BLOCK = 4096
_SUPERBLOCK = 1024  # bytes before it, and its own
_ROOT = 2  # the inode of the root directory

# Spelled out, so that no mke2fs.conf decides: readable by kernels from 4.x on and by GRUB 2.06. metadata_csum_seed
# and orphan_file are left out for these.
_FEATURES = (
    "none",
    "has_journal",
    "ext_attr",
    "resize_inode",
    "dir_index",
    "filetype",
    "extent",
    "64bit",
    "flex_bg",
    "sparse_super",
    "large_file",
    "huge_file",
    "dir_nlink",
    "extra_isize",
    "metadata_csum",
)
# What only a filesystem has that is written to.
_ONLY_WRITTEN = ("has_journal", "resize_inode")


def mke2fs(image: str, tree: str | None, partition: PlacedPartition, *, read_only: bool = False) -> tuple[str, ...]:
    """Write `tree` as ext4 into `image` at the partition's place, or an empty filesystem. One that is only read has
    neither a journal nor blocks kept for root."""
    extended = ",".join(
        (
            f"offset={partition.start}",
            f"hash_seed={partition.hash_seed}",
            "root_owner=0:0",
            "no_copy_xattrs",
            "lazy_itable_init=0",
            "lazy_journal_init=0",
        )
    )
    label = ("-L", partition.label) if partition.label else ()
    features = [f for f in _FEATURES if not (read_only and f in _ONLY_WRITTEN)]
    return (
        "mke2fs",
        *("-q", "-F", "-t", "ext4", "-b", str(BLOCK), "-I", "256", "-m", "0" if read_only else "1"),
        *("-O", ",".join(features)),
        *("-U", partition.filesystem_uuid, *label),
        *("-E", extended),
        *(("-d", tree) if tree is not None else ()),
        image,
        str(partition.size // BLOCK),
    )


def attribute_batch(attributes: Sequence[tuple[str, str, bytes]]) -> bytes:
    """debugfs commands that set (path, name, value) in the order given; paths without a leading slash. The value is
    spelled in octal, which debugfs's argument parser undoes."""
    lines = []
    for path, name, value in attributes:
        quoted = "/" + path.replace('"', '""')
        octal = "".join(f"\\{byte:03o}" for byte in value)
        lines.append(f'ea_set "{quoted}" {name} "{octal}"\n')
    return "".join(lines).encode("utf-8", "surrogateescape")


def times_batch(image: Path, partition: PlacedPartition, seconds: int) -> bytes:
    """debugfs commands that date the last access and change of everything in the filesystem at the partition's place
    of `image`."""
    with image.open("rb") as file:
        file.seek(partition.start + _SUPERBLOCK)
        block = file.read(_SUPERBLOCK)
    # mke2fs gives out inodes in order (s_inodes_count, s_free_inodes_count, s_first_ino), so those in use have the
    # lowest numbers; between the root and the first of them are its own.
    (count,), (free,), (first,) = (struct.unpack_from("<I", block, offset) for offset in (0, 16, 84))
    numbers = [_ROOT, *range(first, count - free + 1)]
    lines = (f"set_inode_field <{number}> {name} @{seconds}\n" for number in numbers for name in ("atime", "ctime"))
    return "".join(lines).encode()


def debugfs(image: str, commands: str, partition: PlacedPartition) -> tuple[str, ...]:
    """Run a batch of commands from the file `commands` on the filesystem at the partition's place."""
    return ("debugfs", "-w", "-f", commands, f"{image}?offset={partition.start}")

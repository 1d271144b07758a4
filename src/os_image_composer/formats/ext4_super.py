"""The super block of ext2, ext3 and ext4: sizes, features, and what it says of the filesystem as a whole.

Source: the Linux kernel's documentation, "ext4 Data Structures and Algorithms", super block.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from uuid import UUID

from os_image_composer.formats.filesystem import Volume
from os_image_composer.formats.window import FormatError, Window

_MAGIC = 0xEF53

_COMPAT = {0x4: "has_journal", 0x8: "ext_attr", 0x10: "resize_inode", 0x20: "dir_index", 0x200: "sparse_super2"}
_COMPAT |= {0x400: "fast_commit", 0x800: "stable_inodes", 0x1000: "orphan_file"}
_INCOMPAT = {0x2: "filetype", 0x4: "needs_recovery", 0x10: "meta_bg", 0x40: "extent", 0x80: "64bit", 0x100: "mmp"}
_INCOMPAT |= {0x200: "flex_bg", 0x400: "ea_inode", 0x2000: "metadata_csum_seed", 0x4000: "large_dir"}
_INCOMPAT |= {0x8000: "inline_data", 0x10000: "encrypt", 0x20000: "casefold"}
_RO_COMPAT = {0x1: "sparse_super", 0x2: "large_file", 0x8: "huge_file", 0x10: "uninit_bg", 0x20: "dir_nlink"}
_RO_COMPAT |= {0x40: "extra_isize", 0x100: "quota", 0x200: "bigalloc", 0x400: "metadata_csum", 0x1000: "read-only"}
_RO_COMPAT |= {0x2000: "project", 0x4000: "shared_blocks", 0x8000: "verity", 0x10000: "orphan_present"}
_META_BG, _64BIT = 0x10, 0x80
_BEYOND_EXT3 = 0x40 | 0x80 | 0x200 | 0x400 | 0x2000 | 0x4000 | 0x8000
_RO_BEYOND_EXT3 = 0x8 | 0x10 | 0x20 | 0x40 | 0x200 | 0x400


@dataclass(frozen=True)
class SuperBlock:
    """Sizes in bytes, of blocks in blocks; `incompat` are the features that a reader must know, as bits."""

    inodes: int
    blocks: int
    free_blocks: int
    first_block: int
    block_size: int
    blocks_per_group: int
    inodes_per_group: int
    inode_size: int
    descriptor_size: int
    incompat: int
    volume: Volume


def read_super_block(window: Window) -> SuperBlock:
    """Raises FormatError where there is none, or one with impossible numbers, or with a feature that is not read."""
    data = window.read(1024, 1024)
    if struct.unpack_from("<H", data, 56)[0] != _MAGIC:
        raise FormatError("this is no ext4 super block")
    inodes, blocks_low, _, free_low, _, first_block, log_size = struct.unpack_from("<7I", data)
    blocks_per_group, _, inodes_per_group = struct.unpack_from("<3I", data, 32)
    (revision,) = struct.unpack_from("<I", data, 76)
    inode_size = struct.unpack_from("<H", data, 88)[0] if revision else 128
    compat, incompat, ro_compat = struct.unpack_from("<3I", data, 92)
    if log_size > 6:
        raise FormatError(f"an ext4 block cannot have 2^{10 + log_size} bytes")
    block_size = 1024 << log_size
    unknown = incompat & ~sum(_INCOMPAT)
    if unknown or incompat & _META_BG:
        raise FormatError(f"an ext4 feature that is not read here: {'meta_bg' if not unknown else hex(unknown)}")
    wide = bool(incompat & _64BIT)
    blocks = blocks_low | (struct.unpack_from("<I", data, 336)[0] << 32 if wide else 0)
    free = free_low | (struct.unpack_from("<I", data, 344)[0] << 32 if wide else 0)
    descriptor_size = struct.unpack_from("<H", data, 254)[0] if wide else 32
    if (
        inode_size not in (128, 256, 512, 1024, 2048, 4096)
        or inode_size > block_size
        or not inodes_per_group
        or not blocks_per_group
        or not inodes
        or descriptor_size not in (32, 64, 128, 256, 512, 1024)
        or first_block > 1
    ):
        raise FormatError("an ext4 super block has impossible numbers")
    if blocks * block_size > window.size:
        raise FormatError(f"an ext4 filesystem claims {blocks * block_size} of {window.size} bytes")
    kind = "ext4" if incompat & _BEYOND_EXT3 or ro_compat & _RO_BEYOND_EXT3 else "ext3" if compat & 0x4 else "ext2"
    features = [name for table, bits in ((_COMPAT, compat), (_INCOMPAT, incompat), (_RO_COMPAT, ro_compat))
                for bit, name in table.items() if bits & bit]  # fmt: skip
    volume = Volume(
        kind=kind,
        uuid=str(UUID(bytes=data[104:120])),
        label=data[120:136].split(b"\0", 1)[0].decode("utf-8", "replace") or None,
        size=blocks * block_size,
        used=max(blocks - free, 0) * block_size,
        block_size=block_size,
        features=tuple(features),
    )
    return SuperBlock(
        inodes=inodes,
        blocks=blocks,
        free_blocks=free,
        first_block=first_block,
        block_size=block_size,
        blocks_per_group=blocks_per_group,
        inodes_per_group=inodes_per_group,
        inode_size=inode_size,
        descriptor_size=descriptor_size,
        incompat=incompat,
        volume=volume,
    )

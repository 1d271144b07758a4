"""What of an ext2, ext3 or ext4 is used by nothing, by the bitmaps of its block groups.

Source: the Linux kernel's documentation, "ext4 Data Structures and Algorithms", group descriptors and bitmaps.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

from os_image_composer.formats.ext4_super import SuperBlock
from os_image_composer.formats.window import FormatError, Window

_BLOCK_UNINIT = 0x2


def free_runs(window: Window, s: SuperBlock) -> Iterator[tuple[int, int]]:
    """Offset and size of what neither a file nor the filesystem itself uses, in order. Raises FormatError."""
    if "bigalloc" in s.volume.features:
        raise FormatError("a bitmap of clusters is not read here")
    if s.blocks_per_group > 8 * s.block_size:
        raise FormatError("an ext4 block group is larger than its bitmap")
    groups = -(-(s.blocks - s.first_block) // s.blocks_per_group)
    descriptors = window.read((s.first_block + 1) * s.block_size, groups * s.descriptor_size)
    # The super block, and behind it the descriptors with the room that is kept for more of them.
    reserved = struct.unpack("<H", window.read(1024 + 206, 2))[0]
    head = 1 + -(-groups * s.descriptor_size // s.block_size) + reserved
    own = _own_blocks(s, descriptors, groups)
    for group in range(groups):
        first = s.first_block + group * s.blocks_per_group
        end = min(first + s.blocks_per_group, s.blocks)
        descriptor = descriptors[group * s.descriptor_size :][: s.descriptor_size]
        if struct.unpack_from("<H", descriptor, 18)[0] & _BLOCK_UNINIT:
            runs = _without((min(first + head, end), end), own)
        else:
            bitmap = window.read(_block_number(descriptor, 0) * s.block_size, s.block_size)
            runs = ((first + at, first + to) for at, to in _clear_bits(bitmap, end - first))
        for at, to in runs:
            yield at * s.block_size, (to - at) * s.block_size


def _own_blocks(s: SuperBlock, descriptors: bytes, groups: int) -> list[tuple[int, int]]:
    """First block and end of each group's bitmaps and inode table, in order."""
    table = -(-s.inodes_per_group * s.inode_size // s.block_size)
    own = []
    for group in range(groups):
        descriptor = descriptors[group * s.descriptor_size :][: s.descriptor_size]
        for field, size in ((0, 1), (4, 1), (8, table)):
            number = _block_number(descriptor, field)
            own.append((number, number + size))
    return sorted(own)


def _block_number(descriptor: bytes, field: int) -> int:
    """A block's number in a group descriptor, whose upper half stands 32 bytes later where there is room."""
    (low,) = struct.unpack_from("<I", descriptor, field)
    high = struct.unpack_from("<I", descriptor, field + 32)[0] if len(descriptor) >= 64 else 0
    return int(low | high << 32)


def _clear_bits(bitmap: bytes, count: int) -> Iterator[tuple[int, int]]:
    """First and end of each run of zeros among the first `count` bits, the lowest of each byte first."""
    start: int | None = None
    for at in range(0, count, 8):
        byte = bitmap[at // 8]
        if byte == (0xFF if start is None else 0):
            continue
        for bit in range(at, min(at + 8, count)):
            used = byte >> bit % 8 & 1
            if used and start is not None:
                yield start, bit
                start = None
            elif not used and start is None:
                start = bit
    if start is not None:
        yield start, count


def _without(run: tuple[int, int], taken: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """The parts of `run` that none of `taken`, which are in order, covers."""
    at, end = run
    for first, to in taken:
        if to <= at or first >= end:
            continue
        if first > at:
            yield at, first
        at = max(at, to)
    if at < end:
        yield at, end

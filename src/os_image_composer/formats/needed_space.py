"""What of a disk must be written for the disk to be the same wherever somebody looks; the rest is zeros in the file and
may be anything on the medium.

Left out is only what is zeros and of no use to anybody: what a filesystem of a known kind calls free, what lies behind
one, what no partition has. Holes of the file say less: a filesystem's own zeros, such as those of an empty table of
inodes, can be holes too, and where they are depends on the filesystem that the file lies on. Of an empty partition, and
of each in general, the first and last MiB are written, so that what was there before is not found again.
"""

from __future__ import annotations

from collections.abc import Iterator

from os_image_composer.formats.ext4 import Ext4
from os_image_composer.formats.fat import Fat
from os_image_composer.formats.filesystem import Volume
from os_image_composer.formats.partition_table import Partition, read_partition_table
from os_image_composer.formats.verity import read_superblock
from os_image_composer.formats.volumes import identify, open_filesystem
from os_image_composer.formats.window import FileSource, FormatError, Window

BLOCK = 4096
_EDGE = 1 << 20
_SEALED = "DM_verity_hash"  # a hash of every block, those that are free too
_WHOLE = ("erofs", "squashfs")  # filesystems without free space inside

Range = tuple[int, int]


def needed_blocks(source: FileSource) -> Iterator[Range]:
    """First and last number of each run of blocks that must be written, in order. A disk without a partition table, or
    with a damaged one, is needed as a whole."""
    size, at = source.size, 0
    for first, last in _needed(source, list(_spare(source))):
        start = max(first // BLOCK, at)
        at = min(-(-last // BLOCK), -(-size // BLOCK))
        if start < at:
            yield start, at - 1


def _needed(source: FileSource, spare: list[Range]) -> Iterator[Range]:
    """Start and end, in bytes and in order, of what is not spare, and of blocks of the spare that are no zeros; those
    that touch are one."""
    start, reached = 0, 0
    for at, end in (*_not_zero(source, spare), (source.size, source.size)):
        if at > reached and reached > start:
            yield start, reached
        start = start if at <= reached else at
        reached = max(reached, end)
    if reached > start:
        yield start, reached


def _not_zero(source: FileSource, spare: list[Range]) -> Iterator[Range]:
    at = 0
    for first, end in spare:
        if at < first:
            yield at, first
        for offset, size in source.stored(first, end - first):
            # What is stored begins and ends where a block of the medium's filesystem does, or the spare itself.
            for place in range(offset - (offset - first) % BLOCK, offset + size, BLOCK):
                block = source.read(place, min(BLOCK, end - place))
                if block.strip(b"\0"):
                    yield place, place + len(block)
        at = end
    if at < source.size:
        yield at, source.size


def _spare(source: FileSource) -> Iterator[Range]:
    """Start and end of what need not be written where it is zeros: whole blocks of the disk, in order."""
    disk = Window.over(source)
    table = read_partition_table(disk)
    if table is None or table.faults:
        return
    parts = sorted(table.partitions, key=lambda p: p.start)
    volumes = [identify(disk.part(p.start, p.size)) for p in parts]
    sealed = [
        _covered(disk.part(part.start, part.size))
        for part, volume in zip(parts, volumes, strict=True)
        if volume is not None and volume.kind == _SEALED
    ]
    at = _EDGE
    for part, volume in zip(parts, volumes, strict=True):
        yield from _blocks(at, part.start)
        whole = any(_may_be_sealed(part, volume, size) for size in sealed)
        for start, end in () if whole else _spare_inside(disk, part):
            yield from _blocks(max(start, part.start + _EDGE), min(end, part.start + part.size - _EDGE))
        at = part.start + part.size
    yield from _blocks(at, source.size - _EDGE)


def _covered(hashes: Window) -> int | None:
    """How many bytes the hashes of a hash partition are of; None where it does not say."""
    try:
        return read_superblock(hashes).data_size
    except FormatError:
        return None


def _may_be_sealed(part: Partition, volume: Volume | None, covered: int | None) -> bool:
    """Whether hashes of so many bytes can be this partition's. Not where they are of more than there is in it, or end
    before its filesystem does: what lies there could not be mounted from behind them."""
    if covered is None:
        return True
    ends = volume.size if volume is not None else None
    return covered <= part.size and (ends is None or ends <= covered)


def _blocks(start: int, end: int) -> Iterator[Range]:
    """The whole blocks between two places."""
    start, end = -(-start // BLOCK) * BLOCK, end // BLOCK * BLOCK
    if start < end:
        yield start, end


def _spare_inside(disk: Window, part: Partition) -> Iterator[Range]:
    """What of a partition its content has no use for. One whose content is not known is needed as a whole, unless all
    of it is zeros."""
    window = disk.part(part.start, part.size)
    end = part.start + part.size
    volume = identify(window)
    if volume is None:
        if _is_empty(window):
            yield part.start, end
        return
    if volume.kind in _WHOLE and volume.size is not None:
        yield part.start + volume.size, end
        return
    try:
        filesystem = open_filesystem(window)
        free = list(filesystem.free()) if isinstance(filesystem, Ext4 | Fat) else []
    except FormatError:
        return
    if isinstance(filesystem, Ext4 | Fat):
        for offset, size in free:
            yield part.start + offset, part.start + offset + size
        yield part.start + (filesystem.volume.size or part.size), end


def _is_empty(window: Window) -> bool:
    return not any(block.strip(b"\0") for block in window.blocks())

"""Does a file of a hypervisor's format have everything that its tables point at? One that was cut off has not.

qemu-img cannot be asked: it takes what lies behind the end of a qcow2, a vmdk or a vdi for zeros, and its check looks
at whole clusters, and at none of a vdi. Sources as in `virtual_disk`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

from os_image_composer.formats import vhdx
from os_image_composer.formats.virtual_disk import VirtualDisk
from os_image_composer.formats.window import FormatError, Window

_SECTOR = 512
_CHUNK = 64 << 10  # bytes of a table that are looked at at once
_MOST_TABLE = 1 << 31
_MIB = 1 << 20


def check_end(file: Window, disk: VirtualDisk) -> None:
    """Raises FormatError for a file that ends before what its tables point at; `disk` is what it was recognised as."""
    end = _ENDS[disk.format](file, disk.size)
    if end > file.size:
        raise FormatError(f"it has {file.size} bytes; what its tables point at ends at {end}")


def _qcow2(file: Window, size: int) -> int:
    """docs/interop/qcow2.rst, "Cluster mapping". Of the last cluster the file needs no more than the disk has."""
    (bits,) = struct.unpack(">I", file.read(20, 4))
    if not 9 <= bits <= 21:
        raise FormatError(f"a qcow2 with clusters of 2^{bits} bytes")
    tables, start = struct.unpack(">IQ", file.read(36, 12))
    (version,) = struct.unpack(">I", file.read(4, 4))
    (features,) = struct.unpack(">Q", file.read(72, 8)) if version == 3 else (0,)
    extended = bool(features & 16)  # entries of two numbers; the second says which parts of a cluster are used
    cluster = 1 << bits
    width = 2 if extended else 1
    per_table = cluster // 8 // width
    end = 0
    for number, entry in enumerate(_numbers(file, start, tables, ">Q")):
        table = entry & 0x00FF_FFFF_FFFF_FE00
        if not table:
            continue
        end = max(end, table + cluster)
        if table + cluster > file.size:
            continue
        entries = list(_numbers(file, table, cluster // 8, ">Q"))[::width]
        for place, found in enumerate(entries, number * per_table):
            if found:
                end = max(end, _cluster_end(found, bits, min(cluster, size - place * cluster), extended))
    return end


def _cluster_end(entry: int, bits: int, used: int, extended: bool) -> int:
    if entry >> 62 & 1:
        # Compressed: the place has 62 - (bits - 8) bits, and the sectors behind the first stand above it. Of the last
        # sector one byte may be all.
        width = 62 - (bits - 8)
        place, sectors = entry & (1 << width) - 1, (entry & (1 << 62) - 1) >> width
        return (place // _SECTOR + sectors) * _SECTOR + 1
    place = entry & 0x00FF_FFFF_FFFF_FE00
    zeros = entry & 1 and not extended
    return place + (1 if extended else used) if place and used > 0 and not zeros else 0


def _vmdk(file: Window, size: int) -> int:
    """Section "Hosted Sparse Extents": directory, tables, grains. Numbers are sectors, and 1 is a grain of zeros."""
    head = file.head(_SECTOR)
    (directory,) = struct.unpack_from("<Q", head, 56)
    if directory == (1 << 64) - 1:  # a stream, whose header stands once more in its footer
        head = file.read(max(file.size - 2 * _SECTOR, 0), _SECTOR)
        if head[:4] != b"KDMV":
            raise FormatError("a vmdk without the footer that its header speaks of")
        (directory,) = struct.unpack_from("<Q", head, 56)
    flags, grain = struct.unpack_from("<I", head, 8)[0], struct.unpack_from("<Q", head, 20)[0]
    (per_table,) = struct.unpack_from("<I", head, 44)
    if not (0 < grain <= 1 << 20 and 0 < per_table <= 1 << 20):
        raise FormatError(f"a vmdk with grains of {grain} sectors, {per_table} in a table")
    grains = -(-size // (grain * _SECTOR))
    end, last = 0, 0
    for number, table in enumerate(_numbers(file, directory * _SECTOR, -(-grains // per_table), "<I")):
        if not table:
            continue
        end = max(end, table * _SECTOR + 4 * per_table)
        if end > file.size:
            continue
        for place, found in enumerate(_numbers(file, table * _SECTOR, per_table, "<I"), number * per_table):
            if found > 1:
                used = min(grain * _SECTOR, size - place * grain * _SECTOR)
                last = max(last, found)
                end = max(end, found * _SECTOR + (used if not flags & 1 << 16 else _SECTOR))
    if last and flags & 1 << 16 and end <= file.size:
        # Compressed: a marker with the number of bytes behind it.
        (packed,) = struct.unpack("<I", file.read(last * _SECTOR + 8, 4))
        end = max(end, last * _SECTOR + 12 + packed)
    return end


def _vdi(file: Window, size: int) -> int:
    """VDICore.h: a map of blocks, in which the two greatest numbers are blocks of zeros."""
    table, data = struct.unpack("<II", file.read(340, 8))
    block, extra, blocks = struct.unpack("<III", file.read(376, 12))
    if not block:
        raise FormatError("a vdi with blocks of 0 bytes")
    end = 0
    for place, found in enumerate(_numbers(file, table, blocks, "<I")):
        if found < 0xFFFF_FFFE:
            end = max(end, data + found * (block + extra) + extra + min(block, max(size - place * block, 0)))
    return end


def _vhdx(file: Window, size: int) -> int:
    """[MS-VHDX] 2.5: after so many blocks as 2^23 sectors are stands the entry of a bitmap."""
    (block,) = struct.unpack("<I", vhdx.metadata_item(file, vhdx.FILE_PARAMETERS).read(0, 4))
    (sector,) = struct.unpack("<I", vhdx.metadata_item(file, vhdx.SECTOR_SIZE).read(0, 4))
    if not block or not sector:
        raise FormatError("a vhdx with blocks or sectors of 0 bytes")
    start, length = vhdx.region(file, vhdx.BLOCKS)
    ratio = max((sector << 23) // block, 1)
    blocks = -(-size // block)
    count = blocks + max(blocks - 1, 0) // ratio
    if count * 8 > length:
        raise FormatError(f"a vhdx whose table of {length} bytes cannot have {count} entries")
    end: int = start + 8 * count
    for place, found in enumerate(_numbers(file, start, count, "<Q")):
        if found & 7 in (6, 7) and place % (ratio + 1) != ratio:
            end = max(end, (found >> 20) * _MIB + block)
    return end


def _vhd(file: Window, size: int) -> int:
    """Section "Dynamic Disk Header Format": the sectors of blocks, each with a bitmap in front."""
    if file.head(8) != b"conectix":
        return 0  # a fixed one, whose size was looked at
    (at,) = struct.unpack(">Q", file.read(16, 8))
    header = file.read(at, 1024)
    if header[:8] != b"cxsparse":
        raise FormatError("a vhd without the header of a dynamic disk")
    (table,) = struct.unpack_from(">Q", header, 16)
    entries, block = struct.unpack_from(">II", header, 28)
    if block < _SECTOR:
        raise FormatError(f"a vhd with blocks of {block} bytes")
    bitmap = -(-(block // _SECTOR) // 8 // _SECTOR) * _SECTOR
    end = 0
    for found in _numbers(file, table, min(entries, -(-size // block)), ">I"):
        if found != 0xFFFF_FFFF:
            end = max(end, found * _SECTOR + bitmap + block)
    return end + _SECTOR  # the footer


def _numbers(file: Window, start: int, count: int, form: str) -> Iterator[int]:
    """`count` numbers from `start` on. Raises FormatError where the file ends before them."""
    width = struct.calcsize(form)
    if count * width > _MOST_TABLE:
        raise FormatError(f"a table of {count} entries")
    for at in range(0, count * width, _CHUNK):
        data = file.read(start + at, min(_CHUNK, count * width - at))
        yield from struct.unpack(f"{form[0]}{len(data) // width}{form[1]}", data)


_ENDS: dict[str, Callable[[Window, int], int]] = {
    "qcow2": _qcow2,
    "vmdk": _vmdk,
    "vdi": _vdi,
    "vhdx": _vhdx,
    "vhd": _vhd,
}

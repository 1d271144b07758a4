"""The smallest files that say of themselves that they are disks of hypervisors; there is nothing in
them, but in those of `filled`."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from uuid import UUID

from os_image_composer.formats import vhdx as layout


def qcow2(size: int, *, version: int = 3, backing: int = 0, features: int = 0) -> bytes:
    head = struct.pack(">4sIQIIQ", b"QFI\xfb", version, backing, 0, 16, size)
    return head.ljust(72, b"\0") + struct.pack(">Q", features) + bytes(64)


def vmdk(size: int, *, text: bytes = b"CID=1\n") -> bytes:
    head = struct.pack("<4sIIQQQQI", b"KDMV", 1, 3, size // 512, 128, 1, 1, 512)
    return head.ljust(512, b"\0") + text.ljust(512, b"\0")


def vdi(size: int, *, kind: int = 1) -> bytes:
    data = bytearray(512)
    struct.pack_into("<IHH", data, 64, 0xBEDA107F, 1, 1)
    struct.pack_into("<I", data, 76, kind)
    struct.pack_into("<Q", data, 368, size)
    return bytes(data)


def vhd(size: int, *, kind: int) -> bytes:
    """Of a fixed one (2) the footer; of the others the copy in front and the footer."""
    footer = bytearray(512)
    footer[:8] = b"conectix"
    struct.pack_into(">Q", footer, 48, size)
    struct.pack_into(">I", footer, 60, kind)
    struct.pack_into(">I", footer, 64, ~sum(footer) & 0xFFFFFFFF)
    return bytes(footer) if kind == 2 else bytes(footer) * 2


def vhdx_tables() -> bytes:
    """A region table, and 1 KiB behind it the metadata, as they stand in a file from 192 KiB on."""
    whole, start = vhdx(1 << 30), 192 << 10
    data = bytearray(whole[start : start + 1024] + whole[2 << 20 : (2 << 20) + 160])
    struct.pack_into("<QI", data, 32, start + 1024, 96 << 10)
    return bytes(data)


def vhdx(size: int, *, parent: bool = False, blocks: Sequence[tuple[int, int]] = ()) -> bytes:
    """Two headers with an empty log, a region table, metadata at 2 MiB, the table of `blocks` (state, and place in MiB)
    at 3 MiB; 4 MiB long where there are blocks."""
    metadata, items, table = 2 << 20, 64 << 10, 3 << 20
    data = bytearray(table + (1 << 20) if blocks else metadata + (128 << 10))
    data[:8] = layout.SIGNATURE
    for at in (64 << 10, 128 << 10):
        data[at : at + 4] = b"head"
        struct.pack_into("<IQ", data, at + 68, 64 << 10, 1 << 20)
    regions = 192 << 10
    struct.pack_into("<4sII", data, regions, b"regi", 0, 2 if blocks else 1)
    region = UUID("8b7ca206-4790-4b9a-b8fe-575f050f886e").bytes_le
    data[regions + 16 : regions + 48] = region + struct.pack("<QII", metadata, 128 << 10, 1)
    if blocks:
        data[regions + 48 : regions + 80] = layout.BLOCKS.bytes_le + struct.pack("<QII", table, 1 << 20, 1)
        for number, (state, place) in enumerate(blocks):
            struct.pack_into("<Q", data, table + 8 * number, place << 20 | state)
    values = {
        layout.FILE_PARAMETERS: struct.pack("<II", 1 << 20, 2 if parent else 0),
        layout.DISK_SIZE: struct.pack("<Q", size),
        layout.DISK_ID: bytes(16),
        layout.SECTOR_SIZE: struct.pack("<I", 512),
    }
    struct.pack_into("<8sHH", data, metadata, b"metadata", 0, len(values))
    at = items
    for number, (name, value) in enumerate(values.items()):
        entry = metadata + 32 + 32 * number
        data[entry : entry + 32] = name.bytes_le + struct.pack("<IIII", at, len(value), 0, 0)
        data[metadata + at : metadata + at + len(value)] = value
        at += len(value)
    return bytes(data)


BLOCK = 512


def filled(form: str, *, packed: bool = False) -> bytes:
    """A disk of two blocks whose second one is the last thing in the file; the smallest with every table. `packed` is
    for those that can have it compressed."""
    return _FILLED[form](packed)


def _qcow2_filled(packed: bool) -> bytes:
    """Clusters of 512 bytes, the least there is: header, two levels of tables, one cluster."""
    head = bytearray(qcow2(2 * BLOCK).ljust(BLOCK, b"\0"))
    struct.pack_into(">I", head, 20, 9)
    struct.pack_into(">IQ", head, 36, 1, BLOCK)
    first = struct.pack(">Q", 1 << 63 | 2 * BLOCK).ljust(BLOCK, b"\0")
    # Compressed: its place in 61 bits, and no sector behind the first.
    entry = 1 << 62 | 3 * BLOCK + 100 if packed else 1 << 63 | 3 * BLOCK
    second = struct.pack(">QQ", 0, entry).ljust(BLOCK, b"\0")
    return bytes(head) + first + second + (b"\x55" if packed else b"\x55" * BLOCK)


def _vmdk_filled(packed: bool) -> bytes:
    head = bytearray(vmdk(2 * BLOCK))
    struct.pack_into("<I", head, 8, 3 | (1 << 16 if packed else 0))
    struct.pack_into("<Q", head, 20, 1)
    struct.pack_into("<I", head, 44, 2)
    struct.pack_into("<Q", head, 56, 2)
    directory, table = struct.pack("<I", 3).ljust(BLOCK, b"\0"), struct.pack("<II", 1, 4).ljust(BLOCK, b"\0")
    grain = struct.pack("<QI", 1, BLOCK) if packed else b""
    return bytes(head) + directory + table + grain + b"\x55" * BLOCK


def _vdi_filled(_: bool) -> bytes:
    head = bytearray(vdi(2 * BLOCK))
    struct.pack_into("<II", head, 340, BLOCK, 2 * BLOCK)
    struct.pack_into("<III", head, 376, BLOCK, 0, 2)
    return bytes(head) + struct.pack("<II", 0xFFFFFFFF, 0).ljust(BLOCK, b"\0") + b"\x55" * BLOCK


def _vhd_filled(_: bool) -> bytes:
    """One bitmap of a sector and a block behind each other; the footer stands at the end."""
    footer = bytearray(vhd(2 * BLOCK, kind=3)[:BLOCK])
    struct.pack_into(">Q", footer, 16, BLOCK)
    header = bytearray(b"cxsparse".ljust(1024, b"\0"))
    struct.pack_into(">Q", header, 16, 3 * BLOCK)
    struct.pack_into(">II", header, 28, 2, BLOCK)
    table = struct.pack(">II", 0xFFFFFFFF, 4).ljust(BLOCK, b"\0")
    return bytes(footer) + bytes(header) + table + bytes(BLOCK) + b"\x55" * BLOCK + bytes(footer)


def _vhdx_filled(_: bool) -> bytes:
    """Blocks of a MiB, the least there is."""
    return vhdx(2 << 20, blocks=((0, 0), (6, 4))) + b"\x55" * (1 << 20)


_FILLED = {"qcow2": _qcow2_filled, "vmdk": _vmdk_filled, "vdi": _vdi_filled, "vhd": _vhd_filled, "vhdx": _vhdx_filled}

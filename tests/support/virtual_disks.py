"""The smallest files that say of themselves that they are disks of hypervisors; there is nothing in them."""

from __future__ import annotations

import struct
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
    data = bytearray(whole[start : start + 1024] + whole[2 << 20 : (2 << 20) + 128])
    struct.pack_into("<QI", data, 32, start + 1024, 96 << 10)
    return bytes(data)


def vhdx(size: int, *, parent: bool = False) -> bytes:
    """Two headers with an empty log, a region table, and metadata at 2 MiB."""
    metadata, items = 2 << 20, 64 << 10
    data = bytearray(metadata + (128 << 10))
    data[:8] = layout.SIGNATURE
    for at in (64 << 10, 128 << 10):
        data[at : at + 4] = b"head"
        struct.pack_into("<IQ", data, at + 68, 64 << 10, 1 << 20)
    regions = 192 << 10
    struct.pack_into("<4sII", data, regions, b"regi", 0, 1)
    region = UUID("8b7ca206-4790-4b9a-b8fe-575f050f886e").bytes_le
    data[regions + 16 : regions + 48] = region + struct.pack("<QII", metadata, 128 << 10, 1)
    values = {
        layout.FILE_PARAMETERS: struct.pack("<II", 1 << 20, 2 if parent else 0),
        layout.DISK_SIZE: struct.pack("<Q", size),
        layout.DISK_ID: bytes(16),
    }
    struct.pack_into("<8sHH", data, metadata, b"metadata", 0, len(values))
    at = items
    for number, (name, value) in enumerate(values.items()):
        entry = metadata + 32 + 32 * number
        data[entry : entry + 32] = name.bytes_le + struct.pack("<IIII", at, len(value), 0, 0)
        data[metadata + at : metadata + at + len(value)] = value
        at += len(value)
    return bytes(data)

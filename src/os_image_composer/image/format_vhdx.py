"""What a VHDX says of itself, made a function of the disk in it.

Source: Microsoft, [MS-VHDX] 2.2 (headers), 2.3 (log), 2.6.2.4 (virtual disk id). Numbers are little-endian. Of the two
headers the one with the greater sequence number counts. A header whose log GUID is zero says that the log is empty,
whatever lies in it.
"""

from __future__ import annotations

import functools
import struct
from typing import BinaryIO
from uuid import UUID

SIGNATURE = b"vhdxfile"
_KIB = 1024
_HEADERS = (64 * _KIB, 128 * _KIB)
_HEADER = 4 * _KIB
_REGIONS = 192 * _KIB
_REGION_TABLE = 64 * _KIB
_METADATA = UUID("8b7ca206-4790-4b9a-b8fe-575f050f886e")
_DISK_ID = UUID("beca12ab-b2e6-4523-93ef-c309e000c746")
_BLOCK = 1 << 20


def settle_vhdx(file: BinaryIO, disk: UUID, written: UUID) -> None:
    """Give the disk this id, let both headers name `written` as the last writing, and empty the log. Raises ValueError
    for a file that is no VHDX, or one whose log is in use."""
    file.seek(0)
    if file.read(len(SIGNATURE)) != SIGNATURE:
        raise ValueError("no VHDX")
    for number, place in enumerate(_HEADERS, 1):
        log_at, log_size = _settle_header(file, place, number, written)
        _clear(file, log_at, log_size)
    file.seek(_disk_id(file))
    file.write(disk.bytes_le)


def _settle_header(file: BinaryIO, place: int, number: int, written: UUID) -> tuple[int, int]:
    """The place and size of the log, in bytes."""
    file.seek(place)
    header = bytearray(file.read(_HEADER))
    if header[:4] != b"head" or any(header[48:64]):
        raise ValueError("a header that is none, or whose log is in use")
    struct.pack_into("<IQ", header, 4, 0, number)
    header[16:48] = written.bytes_le * 2
    struct.pack_into("<I", header, 4, crc32c(header))
    file.seek(place)
    file.write(header)
    size, at = struct.unpack_from("<IQ", header, 68)
    return at, size


def _clear(file: BinaryIO, place: int, size: int) -> None:
    file.seek(place)
    for done in range(0, size, _BLOCK):
        file.write(bytes(min(_BLOCK, size - done)))


def _disk_id(file: BinaryIO) -> int:
    """Where the virtual disk id is, in bytes: by the region table, then by the metadata table, in entries of 32."""
    file.seek(_REGIONS)
    regions = file.read(_REGION_TABLE)
    (count,) = struct.unpack_from("<I", regions, 8)
    region = _entry(regions[16:], count, _METADATA)
    (metadata,) = struct.unpack_from("<Q", region, 16)
    file.seek(metadata)
    table = file.read(_REGION_TABLE)
    (count,) = struct.unpack_from("<H", table, 10)
    (offset,) = struct.unpack_from("<I", _entry(table[32:], count, _DISK_ID), 16)
    return int(metadata + offset)


def _entry(table: bytes, count: int, name: UUID) -> bytes:
    for number in range(count):
        entry = table[32 * number : 32 * number + 32]
        if entry[:16] == name.bytes_le:
            return entry
    raise ValueError(f"no entry {name}")


def crc32c(data: bytes) -> int:
    """The checksum of RFC 3720 §12.1 (Castagnoli)."""
    value, table = 0xFFFFFFFF, _table()
    for byte in data:
        value = table[(value ^ byte) & 0xFF] ^ value >> 8
    return value ^ 0xFFFFFFFF


@functools.cache
def _table() -> tuple[int, ...]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return tuple(table)

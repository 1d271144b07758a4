"""What a VHDX says of itself, made a function of the disk in it.

Source: Microsoft, [MS-VHDX] 2.2.2 (headers), 2.3 (log), 2.6.2.4 (virtual disk id). Numbers are little-endian. Of the
two headers the one with the greater sequence number counts. A header whose log GUID is zero says that the log is empty,
whatever lies in it.
"""

from __future__ import annotations

import functools
import struct
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

from os_image_composer.formats import vhdx
from os_image_composer.formats.window import FileSource, Window

_HEADERS = (64 << 10, 128 << 10)
_HEADER = 4 << 10
_BLOCK = 1 << 20


def settle_vhdx(path: Path, disk: UUID, written: UUID) -> None:
    """Give the disk this id, let both headers name `written` as the last writing, and empty the log. Raises ValueError
    for a file that is no VHDX, or one whose log is in use."""
    with FileSource(path) as source:
        place = vhdx.metadata_item(Window.over(source), vhdx.DISK_ID).start
    with path.open("r+b") as file:
        for number, at in enumerate(_HEADERS, 1):
            log_at, log_size = _settle_header(file, at, number, written)
            file.seek(log_at)
            for done in range(0, log_size, _BLOCK):
                file.write(bytes(min(_BLOCK, log_size - done)))
        file.seek(place)
        file.write(disk.bytes_le)


def _settle_header(file: BinaryIO, place: int, number: int, written: UUID) -> tuple[int, int]:
    """The place and size of the log, in bytes."""
    file.seek(place)
    header = bytearray(file.read(_HEADER))
    if header[:4] != b"head" or any(header[48:64]):
        raise ValueError("a header that is none, or whose log is in use")
    struct.pack_into("<IQ", header, 4, 0, number)
    header[16:48] = written.bytes_le * 2
    struct.pack_into("<I", header, 4, crc32c(bytes(header)))
    file.seek(place)
    file.write(header)
    size, at = struct.unpack_from("<IQ", header, 68)
    return at, size


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

"""Where things are in a VHDX.

Source: Microsoft, [MS-VHDX] 2.2.3 (region table), 2.5 (block allocation table), 2.6 (metadata table). Numbers are
little-endian, and an entry of the first and the last has 32 bytes.
"""

from __future__ import annotations

import struct
from uuid import UUID

from os_image_composer.formats.window import FormatError, Window

SIGNATURE = b"vhdxfile"
FILE_PARAMETERS = UUID("caa16737-fa36-4d43-b3b6-33f0aa44e76b")
DISK_SIZE = UUID("2fa54224-cd1b-4876-b211-5dbed83bf4b8")
DISK_ID = UUID("beca12ab-b2e6-4523-93ef-c309e000c746")
SECTOR_SIZE = UUID("8141bf1d-a96f-4709-ba47-f233a8faab5f")
BLOCKS = UUID("2dc27766-f623-4200-9d64-115e9bfd4a08")
_METADATA = UUID("8b7ca206-4790-4b9a-b8fe-575f050f886e")
_TABLE = 64 << 10
_REGIONS = 192 << 10
_MAX_ENTRIES = (_TABLE - 32) // 32


def region(window: Window, name: UUID) -> tuple[int, int]:
    """Where the region of this id is, and how long, in bytes. Raises FormatError."""
    regions = window.read(_REGIONS, _TABLE)
    if regions[:4] != b"regi":
        raise FormatError("a VHDX without a region table")
    entry = _entry(regions[16:], struct.unpack_from("<I", regions, 8)[0], name)
    start, size = struct.unpack_from("<QI", entry, 16)
    return start, size


def metadata_item(window: Window, item: UUID) -> Window:
    """What the metadata has under this id. Raises FormatError."""
    start, size = region(window, _METADATA)
    table = window.read(start, _TABLE)
    if table[:8] != b"metadata":
        raise FormatError("a VHDX without a metadata table")
    entry = _entry(table[32:], struct.unpack_from("<H", table, 10)[0], item)
    offset, length = struct.unpack_from("<II", entry, 16)
    return window.part(start, size).part(offset, length)


def _entry(table: bytes, count: int, name: UUID) -> bytes:
    for number in range(min(count, _MAX_ENTRIES)):
        entry = table[32 * number :][:32]
        if entry[:16] == name.bytes_le:
            return entry
    raise FormatError(f"a VHDX without the entry {name}")

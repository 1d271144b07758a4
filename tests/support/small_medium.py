"""The sectors of a CD that say what it is, from the volume descriptors on."""

from __future__ import annotations

import struct

SECTOR = 2048


def medium(label: str = "LABEL", digest: bytes = b"", sectors: int = 4) -> bytes:
    """Sectors 16 to 19: primary volume descriptor, boot record, terminator, and a catalog with entries for a BIOS at
    sector 63 and for UEFI at 1582, the latter to the end of the medium."""
    primary = bytearray(SECTOR)
    primary[:7] = b"\x01CD001\x01"
    primary[40:72] = label.encode().ljust(32)
    struct.pack_into("<I", primary, 80, 16 + sectors)
    struct.pack_into("<H", primary, 128, SECTOR)
    primary[883:1395] = digest.ljust(512)
    record = bytearray(SECTOR)
    record[:7] = b"\x00CD001\x01"
    record[7:39] = b"EL TORITO SPECIFICATION".ljust(32, b"\0")
    struct.pack_into("<I", record, 71, 19)
    end = b"\xffCD001\x01".ljust(SECTOR, b"\0")
    validation = bytearray(b"\x01".ljust(30, b"\0") + b"\x55\xaa")
    struct.pack_into("<H", validation, 28, -sum(struct.unpack("<16H", validation)) & 0xFFFF)
    initial = struct.pack("<BBHBBHI", 0x88, 0, 0, 0, 0, 4, 63).ljust(32, b"\0")
    header = struct.pack("<BBH", 0x91, 0xEF, 1).ljust(32, b"\0")
    entry = struct.pack("<BBHBBHI", 0x88, 0, 0, 0, 0, 0, 1582).ljust(32, b"\0")
    catalog = (bytes(validation) + initial + header + entry).ljust(SECTOR, b"\0")
    return bytes(primary) + bytes(record) + end + catalog


def disk(content: bytes) -> bytes:
    """With the 16 sectors before it."""
    return bytes(16 * SECTOR) + content

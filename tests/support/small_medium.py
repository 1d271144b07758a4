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


def with_files(files: dict[str, bytes]) -> bytes:
    """A whole medium that has `files` in its folder LIVE. Behind the descriptors come the root's records, three sectors
    of the folder's, then the files."""
    root, folder = 20, 21
    records = [_record("\0", folder, 3 * SECTOR, 2), _record("\1", root, SECTOR, 2)]
    contents, sector = b"", folder + 3
    for name, content in files.items():
        records.append(_record(f"{name.upper()};1", sector, len(content)))
        contents += content.ljust(-(-len(content) // SECTOR) * SECTOR, b"\0")
        sector += -(-len(content) // SECTOR)
    sectors = [b""]
    for record in records:  # none goes over the end of a sector
        if len(sectors[-1]) + len(record) > SECTOR:
            sectors.append(b"")
        sectors[-1] += record
    whole = bytearray(disk(medium(sectors=sector - 16)))
    whole[16 * SECTOR + 156 : 16 * SECTOR + 190] = _record("\0", root, SECTOR, 2)
    whole += (_record("\0", root, SECTOR, 2) + _record("LIVE", folder, 3 * SECTOR, 2)).ljust(SECTOR, b"\0")
    return bytes(whole) + b"".join(s.ljust(SECTOR, b"\0") for s in sectors).ljust(3 * SECTOR, b"\0") + contents


def _record(name: str, sector: int, size: int, flags: int = 0) -> bytes:
    """A directory record (ECMA-119 9.1), with numbers in both byte orders."""
    letters = name.encode()
    length = 33 + len(letters) + (len(letters) + 1) % 2
    numbers = struct.pack("<I", sector) + struct.pack(">I", sector) + struct.pack("<I", size) + struct.pack(">I", size)
    head = bytes([length, 0]) + numbers + bytes(7) + bytes([flags, 0, 0]) + struct.pack("<H", 1) + struct.pack(">H", 1)
    return (head + bytes([len(letters)]) + letters).ljust(length, b"\0")

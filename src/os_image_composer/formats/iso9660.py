"""What a CD says of itself: its volume, what firmware starts from it, and where a file of it is.

Sources: ECMA-119 §8.4 (primary volume descriptor), §9.1 (directory records); "El Torito" Bootable CD-ROM Format
Specification 1.0 §2. Offsets and sizes are bytes; a sector of a CD has 2048.
"""

from __future__ import annotations

import itertools
import struct
from dataclasses import dataclass

from os_image_composer.formats.window import FormatError, Window

SECTOR = 2048
_FIRST = 16  # sectors before the volume descriptors
_MOST_DESCRIPTORS = 64
_PRIMARY, _BOOT, _END = 1, 0, 255
_PLATFORMS = {0x00: "bios", 0x01: "powerpc", 0x02: "mac", 0xEF: "uefi"}
_MOST_ENTRIES = SECTOR // 32
_MOST_OF_A_FOLDER = 1 << 20  # bytes of directory records that are read
_FOLDER, _GOES_ON = 0x02, 0x80  # flags of a directory record (§9.1.6)


@dataclass(frozen=True)
class BootEntry:
    """`platform` is bios, uefi, or a number in hex; `size` 0 is the rest of the medium."""

    platform: str
    bootable: bool
    start: int
    size: int


@dataclass(frozen=True)
class Medium:
    """`digest` is what the field for applications says (image/medium_digest.py), as text; None where it is empty."""

    label: str
    size: int
    digest: str | None
    entries: tuple[BootEntry, ...]


def read_medium(disk: Window) -> Medium | None:
    """None for what has no primary volume descriptor. Raises FormatError for a damaged one."""
    primary = catalog = None
    for number in range(_FIRST, _FIRST + _MOST_DESCRIPTORS):
        descriptor = disk.head(SECTOR, number * SECTOR)
        if len(descriptor) < SECTOR or descriptor[1:6] != b"CD001" or descriptor[0] == _END:
            break
        if descriptor[0] == _PRIMARY and primary is None:
            primary = descriptor
        if descriptor[0] == _BOOT and descriptor[7:30] == b"EL TORITO SPECIFICATION":
            (catalog,) = struct.unpack_from("<I", descriptor, 71)
    if primary is None:
        return None
    (blocks,) = struct.unpack_from("<I", primary, 80)
    (block,) = struct.unpack_from("<H", primary, 128)
    digest = primary[883:1395].decode("ascii", "replace").strip(" \0") or None
    entries = _entries(disk.read(catalog * SECTOR, SECTOR)) if catalog is not None else ()
    return Medium(primary[40:72].decode("ascii", "replace").rstrip(), blocks * block, digest, entries)


def find_file(disk: Window, path: str) -> Window | None:
    """The content of a file, by its path from the root, with `/`; None where there is none. Names are compared as a
    plain ISO 9660 writes them: in capitals. Raises FormatError for a damaged medium."""
    primary = disk.read(_FIRST * SECTOR, SECTOR)
    if primary[:6] != b"\x01CD001":
        raise FormatError("the medium does not begin with a primary volume descriptor")
    folder: tuple[int, int] = struct.unpack_from("<I4xI", primary, 156 + 2)
    *folders, file = path.upper().split("/")
    for name in folders:
        found = _extents(disk, folder, name, _FOLDER)
        if not found:
            return None
        folder = found[0]
    found = _extents(disk, folder, file, 0)
    if not found:
        return None
    start = found[0][0]
    for (one, size), (other, _) in itertools.pairwise(found):  # a file of 4 GiB and more has several
        if one + -(-size // SECTOR) != other:
            raise FormatError(f"{path} lies in pieces")
    return disk.part(start * SECTOR, sum(size for _, size in found))


def _extents(disk: Window, folder: tuple[int, int], name: str, kind: int) -> list[tuple[int, int]]:
    """First sector and size in bytes of what is called `name` in `folder`, which is given by the same."""
    start, size = folder
    records = disk.read(start * SECTOR, min(size, _MOST_OF_A_FOLDER))
    found = []
    at = 0
    while at < len(records):
        length = records[at]
        if not length:  # none goes over the end of a sector
            at = (at // SECTOR + 1) * SECTOR
            continue
        record = records[at : at + length]
        if length < 34 or len(record) < length:
            raise FormatError("a directory record is damaged")
        extent = struct.unpack_from("<I4xI", record, 2)
        flags, letters = record[25], record[33 : 33 + record[32]]
        if letters.partition(b";")[0].rstrip(b".") == name.encode() and flags & _FOLDER == kind:
            found.append(extent)
            if not flags & _GOES_ON:
                break
        at += length
    return found


def _entries(catalog: bytes) -> tuple[BootEntry, ...]:
    """The initial entry, and those of the sections behind it (§2.0 to 2.4)."""
    if catalog[0] != 1 or catalog[30:32] != b"\x55\xaa":
        raise FormatError("the boot catalog has no validation entry")
    if sum(struct.unpack("<16H", catalog[:32])) & 0xFFFF:
        raise FormatError("the boot catalog's checksum is wrong")
    found = [_entry(catalog[32:64], catalog[1])]
    at, left, platform, last = 64, 0, 0, False
    while at + 32 <= len(catalog) and len(found) < _MOST_ENTRIES:
        raw = catalog[at : at + 32]
        at += 32
        if left:
            found.append(_entry(raw, platform))
            left -= 1
        elif raw[0] in (0x90, 0x91) and not last:
            last, platform = raw[0] == 0x91, raw[1]
            (left,) = struct.unpack_from("<H", raw, 2)
        else:
            break
    return tuple(found)


def _entry(raw: bytes, platform: int) -> BootEntry:
    sectors, start = struct.unpack_from("<HI", raw, 6)
    return BootEntry(_PLATFORMS.get(platform, f"{platform:#04x}"), raw[0] == 0x88, start * SECTOR, sectors * 512)

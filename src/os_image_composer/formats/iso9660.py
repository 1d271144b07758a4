"""What a CD says of itself: its volume, and what firmware starts from it.

Sources: ECMA-119 §8.4 (primary volume descriptor); "El Torito" Bootable CD-ROM Format Specification 1.0 §2. Offsets and
sizes are bytes; a sector of a CD has 2048.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from os_image_composer.formats.window import FormatError, Window

SECTOR = 2048
_FIRST = 16  # sectors before the volume descriptors
_MOST_DESCRIPTORS = 64
_PRIMARY, _BOOT, _END = 1, 0, 255
_PLATFORMS = {0x00: "bios", 0x01: "powerpc", 0x02: "mac", 0xEF: "uefi"}
_MOST_ENTRIES = SECTOR // 32


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

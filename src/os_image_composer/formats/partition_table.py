"""Partition tables: GPT (UEFI specification 2.10 §5.3) and MBR (§5.2; extended partitions as Linux reads them).

Offsets and sizes are bytes. What is wrong with a table that can still be read is a fault in words, no error.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from uuid import UUID

from os_image_composer.formats.window import FormatError, Window

SECTOR_SIZES = (512, 4096)
_MAX_ENTRIES = 4096
_MAX_LOGICAL = 128
_PROTECTIVE = 0xEE
_EXTENDED = (0x05, 0x0F, 0x85)
_UNUSED = UUID(int=0)


@dataclass(frozen=True)
class Partition:
    """`type` is a GUID in upper case, or `0x83` in an MBR; `attributes` are the GPT's 64 bits, or 1 for bootable."""

    number: int
    start: int
    size: int
    type: str
    uuid: str | None
    name: str
    attributes: int


@dataclass(frozen=True)
class PartitionTable:
    """`kind` is gpt or mbr; `uuid` is the disk's (of an MBR its signature of 8 hex digits)."""

    kind: str
    uuid: str
    sector_size: int
    partitions: tuple[Partition, ...]
    faults: tuple[str, ...]


def read_partition_table(disk: Window) -> PartitionTable | None:
    """The table of a disk; None where there is none. A GPT whose first header is damaged is read from its copy at the
    end of the disk."""
    for sector_size in SECTOR_SIZES:
        table = _read_gpt(disk, sector_size)
        if table is not None:
            return table
    return _read_mbr(disk)


@dataclass(frozen=True)
class _Header:
    own: int
    other: int
    first_usable: int
    last_usable: int
    uuid: UUID
    entries_at: int
    entry_count: int
    entry_size: int
    entries: bytes


def _read_gpt(disk: Window, sector: int) -> PartitionTable | None:
    faults: list[str] = []
    last = disk.size // sector - 1
    primary = _header_or_fault(disk, sector, 1, faults)
    backup_at = primary.other if primary else last
    backup = _header_or_fault(disk, sector, backup_at, faults)
    header = primary or backup
    if header is None:
        return None
    if primary is None:
        faults.insert(0, "the first GPT header is not usable; its copy at the end of the disk is read instead")
    elif backup is None:
        faults.insert(0, "the copy of the GPT at the end of the disk is not usable")
    elif (primary.uuid, primary.entries) != (backup.uuid, backup.entries):
        faults.append("the two copies of the GPT differ")
    if primary and backup_at != last:
        faults.append(f"the disk has {last + 1} sectors, its GPT ends at sector {backup_at}")
    if _protective(disk) is None:
        faults.append("there is no protective MBR")
    partitions = _gpt_partitions(header, sector)
    faults += _misplaced(partitions, disk.size, header.first_usable * sector, (header.last_usable + 1) * sector)
    return PartitionTable("gpt", str(header.uuid), sector, partitions, tuple(faults))


def _header_or_fault(disk: Window, sector: int, at: int, faults: list[str]) -> _Header | None:
    try:
        return _header(disk, sector, at)
    except FormatError as error:
        if str(error):
            faults.append(str(error))
        return None


def _header(disk: Window, sector: int, at: int) -> _Header:
    """The header in sector `at`. Raises FormatError, without words where there is no header at all."""
    if at < 1 or (at + 1) * sector > disk.size:
        raise FormatError("" if at <= 1 else f"the GPT's copy should be in sector {at}, which the disk has not")
    data = disk.read(at * sector, sector)
    if data[:8] != b"EFI PART":
        raise FormatError("")
    where = f"the GPT header in sector {at}"
    (size,) = struct.unpack_from("<I", data, 12)
    if not 92 <= size <= sector:
        raise FormatError(f"{where} claims {size} bytes")
    (crc,) = struct.unpack_from("<I", data, 16)
    if zlib.crc32(data[:16] + bytes(4) + data[20:size]) != crc:
        raise FormatError(f"{where} does not match its checksum")
    own, other, first, last = struct.unpack_from("<4Q", data, 24)
    entries_at, count, entry_size, entries_crc = struct.unpack_from("<QIII", data, 72)
    if own != at:
        raise FormatError(f"{where} says that it is in sector {own}")
    if count > _MAX_ENTRIES or entry_size not in (128, 256, 512, 1024, 2048, 4096):
        raise FormatError(f"{where} has {count} entries of {entry_size} bytes")
    if entries_at * sector + count * entry_size > disk.size:
        raise FormatError(f"the entries of {where} lie outside of the disk")
    entries = disk.read(entries_at * sector, count * entry_size)
    if zlib.crc32(entries) != entries_crc:
        raise FormatError(f"the entries of {where} do not match their checksum")
    uuid = UUID(bytes_le=data[56:72])
    return _Header(own, other, first, last, uuid, entries_at, count, entry_size, entries)


def _gpt_partitions(header: _Header, sector: int) -> tuple[Partition, ...]:
    found = []
    for number in range(header.entry_count):
        entry = header.entries[number * header.entry_size :][:128]
        kind = UUID(bytes_le=entry[:16])
        if kind == _UNUSED:
            continue
        first, last, attributes = struct.unpack_from("<3Q", entry, 32)
        name = entry[56:128].decode("utf-16-le", "replace").split("\0", 1)[0]
        size = max(last - first + 1, 0) * sector
        uuid = str(UUID(bytes_le=entry[16:32]))
        found.append(Partition(number + 1, first * sector, size, str(kind).upper(), uuid, name, attributes))
    return tuple(found)


def _misplaced(partitions: tuple[Partition, ...], disk_size: int, first: int, end: int) -> list[str]:
    faults = []
    reached = 0
    for p in sorted(partitions, key=lambda p: p.start):
        if p.start < first or p.start + p.size > min(end, disk_size):
            faults.append(f"partition {p.number} lies outside of what the table may use")
        if p.start < reached:
            faults.append(f"partition {p.number} overlaps another one")
        reached = max(reached, p.start + p.size)
    return faults


def _boot_sector(disk: Window) -> bytes | None:
    data = disk.head(512)
    return data if len(data) == 512 and data[510:] == b"\x55\xaa" else None


def _protective(disk: Window) -> bytes | None:
    data = _boot_sector(disk)
    return data if data is not None and any(data[446 + 16 * n + 4] == _PROTECTIVE for n in range(4)) else None


def _read_mbr(disk: Window) -> PartitionTable | None:
    data = _boot_sector(disk)
    if data is None:
        return None
    rows = [struct.unpack_from("<B3xB3xII", data, 446 + 16 * n) for n in range(4)]
    used = [(n, row) for n, row in enumerate(rows, 1) if row[1] != 0]
    # The boot sector of a filesystem ends with the same two bytes; there, what would be the table is program text.
    if not used or any(row[0] not in (0, 0x80) or row[2] == 0 or row[3] == 0 for _, row in used):
        return None
    sector = SECTOR_SIZES[0]
    partitions: list[Partition] = []
    faults: list[str] = []
    (signature,) = struct.unpack_from("<I", data, 440)
    for number, (status, kind, start, count) in used:
        partitions.append(_mbr_partition(number, start, count, kind, status, f"{signature:08x}"))
        if kind in _EXTENDED:
            partitions += _logical(disk, start, f"{signature:08x}", faults)
    primary = tuple(p for p in partitions if int(p.type, 16) not in _EXTENDED)
    faults += _misplaced(primary, disk.size, sector, disk.size)
    if any(int(p.type, 16) == _PROTECTIVE for p in partitions):
        faults.append("the MBR announces a GPT that is not there or cannot be read")
    return PartitionTable("mbr", f"{signature:08x}", sector, tuple(partitions), tuple(faults))


def _mbr_partition(number: int, start: int, count: int, kind: int, status: int, disk_id: str) -> Partition:
    sector = SECTOR_SIZES[0]
    uuid = f"{disk_id}-{number:02x}"
    return Partition(number, start * sector, count * sector, f"0x{kind:02x}", uuid, "", int(status == 0x80))


def _logical(disk: Window, first: int, disk_id: str, faults: list[str]) -> list[Partition]:
    """The chain of boot records inside an extended partition, each of which names one partition and the next record."""
    found: list[Partition] = []
    seen: set[int] = set()
    offset = 0
    while True:
        at = (first + offset) * 512
        if offset in seen or len(seen) >= _MAX_LOGICAL:
            faults.append("the chain of logical partitions has no end")
            return found
        seen.add(offset)
        data = disk.head(512, at)
        if len(data) < 512 or data[510:] != b"\x55\xaa":
            faults.append("the chain of logical partitions is broken")
            return found
        status, kind, start, count = struct.unpack_from("<B3xB3xII", data, 446)
        if kind:
            found.append(_mbr_partition(5 + len(found), first + offset + start, count, kind, status, disk_id))
        kind, offset = struct.unpack_from("<4xB3xI4x", data, 462)
        if kind not in _EXTENDED:
            return found

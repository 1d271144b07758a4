"""How two disk images differ: the table, the partitions, what is in them. Bytes first, so that what is equal costs no
more than reading it once; and bytes last: what differs and is told nowhere else is told with its place."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from os_image_composer.errors import ImageError
from os_image_composer.formats.ext4 import Ext4
from os_image_composer.formats.filesystem import FileSystem, Volume
from os_image_composer.formats.partition_table import Partition, PartitionTable
from os_image_composer.formats.same import first_difference
from os_image_composer.formats.volumes import identify, open_filesystem
from os_image_composer.formats.window import ALLOWANCE, FormatError, Window
from os_image_composer.report.compare_boot import explain_program
from os_image_composer.report.compare_files import FilesToCompare, compare_files, compare_inodes
from os_image_composer.report.compare_packages import compare_roots
from os_image_composer.report.differences import Area, Differences
from os_image_composer.report.inspect import disk_table, open_image, partition_type
from os_image_composer.report.root_filesystem import is_root

_BOOT_CODE = 440  # bytes of a boot sector before the disk's signature and the table of the MBR
_GPT_SECTORS = 34  # at the start; one less at the end
_NO_FILES = ("extended", "gpt-protective")


def compare_images(a: Path, b: Path, found: Differences) -> None:
    """Raises ImageError where one is no raw image or cannot be read."""
    with open_image(a) as one, open_image(b) as other:
        windows = []
        tables = []
        for path, source in ((a, one), (b, other)):
            source.allow(4 * (ALLOWANCE + source.size))  # all is read, and what differs several times
            windows.append(Window.over(source))
            tables.append(disk_table(path, windows[-1]))
        try:
            _Comparing(windows[0], windows[1], found).run(tables[0], tables[1])
        except FormatError as error:
            raise ImageError("damaged-image", f"{a} or {b} is damaged", cause=str(error)) from error


class _Comparing:
    def __init__(self, a: Window, b: Window, found: Differences) -> None:
        self.a, self.b, self.found = a, b, found

    def run(self, ours: PartitionTable | None, theirs: PartitionTable | None) -> None:
        place = first_difference(self.a, self.b)
        if place is None:
            return
        before = self.found.count
        self.found.add_fields(Area.DISK, "disk", iter([("size", self.a.size, self.b.size)]))
        if ours is None and theirs is None:
            self._content(_whole(self.a), _whole(self.b), "disk")
        else:
            self._tables(ours, theirs)
        if ours and theirs and self.a.size == self.b.size:
            self._outside(ours, theirs)
        if self.found.count == before:
            self._bytes(Area.DISK, "disk", place, self.a.size)

    # -- partitions ------------------------------------------------------------------------------------------

    def _tables(self, a: PartitionTable | None, b: PartitionTable | None) -> None:
        if a is None or b is None:
            self.found.add(Area.DISK, "partition table", "missing", a and a.kind, b and b.kind)
        else:
            self.found.add_fields(Area.DISK, "partition table", _table_fields(a, b))
        ours, theirs = ({p.number: p for p in table.partitions} if table else {} for table in (a, b))
        for number in sorted(ours.keys() | theirs.keys()):
            one, other = ours.get(number), theirs.get(number)
            where = f"partition {number}"
            if one is not None and other is not None:
                self.found.add_fields(Area.PARTITION, where, _partition_fields(one, other))
                if partition_type(one) not in _NO_FILES:
                    self._content(one, other, where)
            else:
                texts = (None if p is None else f"{partition_type(p)}, {p.size} bytes" for p in (one, other))
                self.found.add(Area.PARTITION, where, "missing", *texts)

    def _content(self, a: Partition, b: Partition, where: str) -> None:
        one, other = _window(self.a, a), _window(self.b, b)
        place = first_difference(one, other)
        if place is None:
            return
        before = self.found.count
        named = f"{where} ({a.name})" if a.number and a.name and a.name == b.name else where
        try:
            self._filesystems(one, other, named)
        except FormatError as error:
            self.found.add(Area.FILESYSTEM, named, "unreadable", error, error)
        if self.found.count == before and place < min(one.size, other.size):
            self._bytes(Area.PARTITION, named, place, one.size)

    def _filesystems(self, one: Window, other: Window, where: str) -> None:
        before = self.found.count
        a, b = open_filesystem(one), open_filesystem(other)
        ours, theirs = a.volume if a else identify(one), b.volume if b else identify(other)
        if ours is None or theirs is None:
            if ours != theirs:
                self.found.add(Area.FILESYSTEM, where, "missing", ours and ours.kind, theirs and theirs.kind)
            return
        self.found.add_fields(Area.FILESYSTEM, where, _volume_fields(ours, theirs))
        if a is not None and b is not None:
            self._files(a, b, where)
            if self.found.count == before and isinstance(a, Ext4) and isinstance(b, Ext4):
                # Whoever writes to a filesystem leaves these behind: they say something only where nothing else does.
                said = a.super_block(), b.super_block()
                fields = ((name, said[0][name], said[1][name]) for name in said[0])
                self.found.add_fields(Area.FILESYSTEM, where, fields)
                compare_inodes(a, b, _prefix(where), self.found)

    def _files(self, a: FileSystem, b: FileSystem, where: str) -> None:
        area = Area.BOOT if a.volume.kind == "vfat" else Area.FILE
        if is_root(a) and is_root(b):
            compare_roots(a, b, self.found)
            prefix = ""
        else:
            prefix = _prefix(where)
        compare_files(FilesToCompare(a, b, area, prefix, explain_program(self.found, prefix)), self.found)

    # -- what is in no partition -----------------------------------------------------------------------------

    def _outside(self, a: PartitionTable, b: PartitionTable) -> None:
        """The boot sector's program and the gaps; where the table was told to differ, the gaps without it."""
        told = any(d.area in (Area.DISK, Area.PARTITION) and d.kind != "bytes" for d in self.found.kept)
        boot_code = (window.part(0, min(_BOOT_CODE, window.size)) for window in (self.a, self.b))
        if first_difference(*boot_code) is not None:
            self.found.add(Area.BOOT, "boot sector", "content", "its program", "another one")
            told = True
        start = _table_end(a, b) if told else 0
        end = self.a.size - (_table_end(a, b) if told and "gpt" in (a.kind, b.kind) else 0)
        taken = sorted((p.start, p.start + p.size) for table in (a, b) for p in table.partitions)
        for first, last in [*taken, (end, end)]:
            if start < min(first, end):
                self._gap(start, min(first, end) - start)
            start = max(start, last)

    def _gap(self, start: int, size: int) -> None:
        place = first_difference(self.a.part(start, size), self.b.part(start, size))
        if place is not None:
            self._bytes(Area.DISK, "outside of the partitions", start + place, self.a.size)

    def _bytes(self, area: Area, where: str, place: int, size: int) -> None:
        text = f"first at byte {place} of {size}"
        self.found.add(area, where, "bytes", text, text)


def _window(disk: Window, partition: Partition) -> Window:
    """What lies beyond the end is a fault of the table, which says so."""
    start = min(partition.start, disk.size)
    return disk.part(start, min(partition.size, disk.size - start))


def _prefix(where: str) -> str:
    """What stands before a path: `partition 1:`."""
    return f"{where.split(' (', 1)[0]}:"


def _whole(disk: Window) -> Partition:
    return Partition(0, 0, disk.size, "whole disk", None, "", 0)


def _table_end(a: PartitionTable, b: PartitionTable) -> int:
    return max(_GPT_SECTORS * table.sector_size if table.kind == "gpt" else 512 for table in (a, b))


def _table_fields(a: PartitionTable, b: PartitionTable) -> Iterator[tuple[str, object, object]]:
    yield "type", a.kind, b.kind
    yield "uuid", a.uuid, b.uuid
    yield "sector-size", a.sector_size, b.sector_size
    yield "faults", "; ".join(a.faults) or "none", "; ".join(b.faults) or "none"


def _partition_fields(a: Partition, b: Partition) -> Iterator[tuple[str, object, object]]:
    yield "type", partition_type(a), partition_type(b)
    yield "uuid", a.uuid, b.uuid
    yield "label", a.name, b.name
    yield "flags", f"0x{a.attributes:016x}", f"0x{b.attributes:016x}"
    yield "start", a.start, b.start
    yield "size", a.size, b.size


def _volume_fields(a: Volume, b: Volume) -> Iterator[tuple[str, object, object]]:
    yield "type", a.kind, b.kind
    yield "uuid", a.uuid, b.uuid
    yield "label", a.label or "none", b.label or "none"
    yield "size", a.size, b.size
    yield "block-size", a.block_size, b.block_size
    yield "features", " ".join(a.features) or "none", " ".join(b.features) or "none"

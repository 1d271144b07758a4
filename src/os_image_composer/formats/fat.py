"""FAT12, FAT16 and FAT32, with long names.

Source: Microsoft "FAT32 File System Specification" 1.03 (boot sector, FAT type by cluster count, directory entries,
long names). Offsets and sizes are bytes.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator
from dataclasses import dataclass

from os_image_composer.formats.filesystem import Entry, Node, NodeKind, Volume
from os_image_composer.formats.window import FormatError, Run, RunsSource, Window

_MAX_FAT = 64 << 20
_MAX_RECORDS = 65_536  # of a directory: 2 MiB (§6)
_END = {12: 0xFF8, 16: 0xFFF8, 32: 0x0FFFFFF8}
_BAD = {12: 0xFF7, 16: 0xFFF7, 32: 0x0FFFFFF7}
_ROOT = 0  # the number of the root directory, whose cluster on FAT12 and 16 does not exist
_DIRECTORY, _VOLUME_ID, _LONG_NAME = 0x10, 0x08, 0x0F
_DELETED = 0xE5


@dataclass(frozen=True)
class _Geometry:
    bits: int
    cluster_size: int
    clusters: int
    fat_at: int
    fat_size: int
    root_at: int
    root_size: int
    root_cluster: int
    data_at: int
    size: int
    serial: str
    label: str


class Fat:
    """A FAT filesystem. Raises FormatError when `window` holds none, or one with impossible numbers."""

    def __init__(self, window: Window) -> None:
        self._window = window
        self._geometry = g = _geometry(window)
        self._fat = _table(window.read(g.fat_at, g.fat_size), g.bits, g.clusters + 2)
        label = next(self._labels(), None) or g.label
        used = sum(1 for value in self._fat[2:] if value) * g.cluster_size
        serial = f"{g.serial[:4]}-{g.serial[4:]}"
        self.volume = Volume("vfat", serial, label or None, g.size, used, g.cluster_size, (f"fat{g.bits}",))

    def free(self) -> Iterator[tuple[int, int]]:
        """Offset and size of what neither a file nor the filesystem itself uses, in order."""
        g, start = self._geometry, None
        for number in range(2, g.clusters + 2):
            if self._fat[number] and start is not None:
                yield self._place(start), (number - start) * g.cluster_size
                start = None
            elif not self._fat[number] and start is None:
                start = number
        if start is not None:
            yield self._place(start), (g.clusters + 2 - start) * g.cluster_size

    def find(self, path: str) -> Node | None:
        node = self._root()
        for name in [part for part in path.split("/") if part]:
            if node.kind is not NodeKind.DIRECTORY:
                return None
            # FAT compares names without regard to case.
            found = next((e.node for e in self.entries(node) if e.name.casefold() == name.casefold()), None)
            if found is None:
                return None
            node = found
        return node

    def entries(self, node: Node) -> Iterator[Entry]:
        long_parts: list[bytes] = []
        checksum = -1
        for raw in self._records(node):
            first, attributes = raw[0], raw[11]
            if attributes & 0x3F == _LONG_NAME and first != _DELETED:
                if first & 0x40:
                    long_parts, checksum = [], raw[13]
                if raw[13] == checksum and len(long_parts) < 20:
                    long_parts.insert(0, raw[1:11] + raw[14:26] + raw[28:32])
                continue
            if first != _DELETED and not attributes & _VOLUME_ID:
                whole = long_parts and _checksum(raw[:11]) == checksum
                name = _long_name(b"".join(long_parts)) if whole else _short_name(raw)
                if name not in (".", "..") and not set("/\0") & set(name):
                    yield Entry(name, self._node(raw))
            long_parts, checksum = [], -1

    def content(self, node: Node) -> Window:
        if node.kind is not NodeKind.FILE:
            raise FormatError("a directory is read as a file")
        runs = self._runs(node.number, node.size)
        return Window(RunsSource(self._window, runs, node.size), 0, node.size)

    # -- inside ----------------------------------------------------------------------------------------------

    def _root(self) -> Node:
        return Node(_ROOT, NodeKind.DIRECTORY, 0)

    def _node(self, raw: bytes) -> Node:
        high, time, date, low, size = struct.unpack_from("<HHHHI", raw, 20)
        cluster = low | (high << 16 if self._geometry.bits == 32 else 0)
        if raw[11] & _DIRECTORY:
            # `..` of a directory in the root says 0, and so may a hostile entry: it leads to the root, seen already.
            return Node(cluster, NodeKind.DIRECTORY, 0, mtime=_seconds(date, time))
        return Node(cluster, NodeKind.FILE, size, mtime=_seconds(date, time))

    def _records(self, node: Node) -> Iterator[bytes]:
        """The 32-byte records of a directory up to its end mark."""
        count = 0
        for block in self._directory_blocks(node):
            for at in range(0, len(block) - 31, 32):
                if block[at] == 0:
                    return
                count += 1
                if count > _MAX_RECORDS:
                    raise FormatError(f"a directory has more than {_MAX_RECORDS} records")
                yield block[at : at + 32]

    def _directory_blocks(self, node: Node) -> Iterator[bytes]:
        g = self._geometry
        if node.number == _ROOT and g.bits != 32:
            yield self._window.read(g.root_at, g.root_size)
            return
        for cluster in self._chain(g.root_cluster if node.number == _ROOT else node.number):
            yield self._window.read(self._place(cluster), g.cluster_size)

    def _labels(self) -> Iterator[str]:
        for raw in self._records(self._root()):
            if raw[11] & 0x3F in (_VOLUME_ID, _VOLUME_ID | 0x20) and raw[0] != _DELETED:
                yield raw[:11].decode("ascii", "replace").rstrip()

    def _chain(self, cluster: int) -> Iterator[int]:
        g = self._geometry
        left = g.clusters
        while cluster < _BAD[g.bits]:
            if not 2 <= cluster < g.clusters + 2:
                raise FormatError(f"a chain of clusters leads to {cluster}, which there is not")
            if left == 0:
                raise FormatError("a chain of clusters has no end")
            left -= 1
            yield cluster
            cluster = self._fat[cluster]
        if cluster == _BAD[g.bits]:
            raise FormatError("a chain of clusters leads to a bad one")

    def _runs(self, cluster: int, size: int) -> list[Run]:
        """Neighbouring clusters as one run."""
        runs: list[Run] = []
        step, reached = self._geometry.cluster_size, 0
        for number in self._chain(cluster) if size else ():
            if reached >= size:
                break
            place = self._place(number)
            last = runs[-1] if runs else None
            if last is not None and last.place is not None and last.place + last.size == place:
                runs[-1] = Run(last.offset, last.size + step, last.place)
            else:
                runs.append(Run(reached, step, place))
            reached += step
        if reached < size:
            raise FormatError(f"a file of {size} bytes has clusters for {reached}")
        return runs

    def _place(self, cluster: int) -> int:
        return self._geometry.data_at + (cluster - 2) * self._geometry.cluster_size


def _geometry(window: Window) -> _Geometry:
    boot = window.read(0, 512)
    sector, per_cluster, reserved, fats, root_entries, total16, fat16 = struct.unpack_from("<HBHBHH1xH", boot, 11)
    total32, fat32 = struct.unpack_from("<II", boot, 32)
    if boot[510:] != b"\x55\xaa" or sector not in (512, 1024, 2048, 4096) or not 1 <= fats <= 2 or not reserved:
        raise FormatError("this is no FAT boot sector")
    if per_cluster not in (1, 2, 4, 8, 16, 32, 64, 128):
        raise FormatError(f"a FAT cluster cannot have {per_cluster} sectors")
    fat_sectors, total = fat16 or fat32, total16 or total32
    root_at = (reserved + fats * fat_sectors) * sector
    root_size = -(-root_entries * 32 // sector) * sector
    data_at = root_at + root_size
    clusters = (total * sector - data_at) // (per_cluster * sector)
    if clusters < 1 or not fat_sectors:
        raise FormatError("a FAT boot sector leaves no room for data")
    bits = 12 if clusters < 4085 else 16 if clusters < 65525 else 32
    if fat16 == 0:
        # Linux and Windows go by this field, not by the count, when it is 0.
        bits = 32
    needed = -(-(clusters + 2) * bits // 8)
    if fat_sectors * sector < needed or needed > _MAX_FAT:
        raise FormatError(f"a FAT of {fat_sectors * sector} bytes cannot serve {clusters} clusters")
    if total * sector > window.size:
        raise FormatError(f"a FAT filesystem claims {total * sector} of {window.size} bytes")
    tail = 64 if bits == 32 else 36
    signature = boot[tail + 2]
    (serial,) = struct.unpack_from("<I", boot, tail + 3)
    label = boot[tail + 7 : tail + 18].decode("ascii", "replace").rstrip() if signature == 0x29 else ""
    (root_cluster,) = struct.unpack_from("<I", boot, 44)
    return _Geometry(
        bits=bits,
        cluster_size=per_cluster * sector,
        clusters=clusters,
        fat_at=reserved * sector,
        fat_size=needed,
        root_at=root_at,
        root_size=root_size,
        root_cluster=root_cluster if bits == 32 else 0,
        data_at=data_at,
        size=total * sector,
        serial=f"{serial:08X}",
        label="" if label == "NO NAME" else label,
    )


def _table(data: bytes, bits: int, count: int) -> array[int]:
    """The next cluster of each cluster."""
    if bits == 12:
        values = array("I")
        for n in range(count):
            (pair,) = struct.unpack_from("<H", data + b"\0", n * 3 // 2)
            values.append(pair >> 4 if n % 2 else pair & 0xFFF)
        return values
    form = "<I" if bits == 32 else "<H"
    return array("I", (value & 0x0FFFFFFF for (value,) in struct.iter_unpack(form, data)))


def _checksum(short: bytes) -> int:
    """Of a short name, which ties a long name to it."""
    total = 0
    for byte in short:
        total = ((total & 1) << 7) + (total >> 1) + byte & 0xFF
    return total


def _long_name(data: bytes) -> str:
    return data.decode("utf-16-le", "replace").split("\0", 1)[0]


def _short_name(raw: bytes) -> str:
    # 0x05 stands for a first byte of 0xE5, which would mean deleted; two bits of byte 12 mean lower case (Windows NT).
    first = b"\xe5" if raw[0] == 0x05 else raw[:1]
    name = (first + raw[1:8]).decode("cp437").rstrip()
    extension = raw[8:11].decode("cp437").rstrip()
    name = name.lower() if raw[12] & 0x08 else name
    extension = extension.lower() if raw[12] & 0x10 else extension
    return f"{name}.{extension}" if extension else name


def _seconds(date: int, time: int) -> int:
    """Seconds since the epoch, the zone taken as UTC; 0 for a date that is none."""
    from datetime import UTC, datetime

    try:
        moment = datetime(
            1980 + (date >> 9), date >> 5 & 15, date & 31, time >> 11, time >> 5 & 63, (time & 31) * 2, tzinfo=UTC
        )
    except ValueError:
        return 0
    return int(moment.timestamp())

"""What an RPM would unpack, as an uncompressed tar stream.

The payload is a cpio archive, newc (cpio(5), "New ASCII Format") or, where a file is too large for it, rpm's own
`07070X`, whose entries hold the number of the file in the header and nothing else (rpm: lib/rpmarchive.h, lib/cpio.c).
Names, types, modes and times are taken from the header, which is what was signed; the archive must agree with it.

Owners become 0:0: the header holds names, which only the system that is unpacked could turn into numbers. So this is
for an environment that is thrown away; a root is installed by rpm itself. Device nodes and file capabilities are left
out for the same reason.
"""

from __future__ import annotations

import io
import re
import stat
import tarfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from os_image_composer.errors import MetadataError
from os_image_composer.ospackage.expanding import BLOCK, Bounded, Part, expanding
from os_image_composer.ospackage.rpm.header import BadHeaderError
from os_image_composer.ospackage.rpm.package import RpmFile, bad_package, read_package_from

MAX_PAYLOAD = 16 << 30  # bytes of an expanded payload
MAX_NAME = 4096
_NEWC, _STRIPPED = b"070701", b"07070X"
_HEADER = 110  # bytes of a newc header: magic and 13 fields of 8 hex digits
_STRIPPED_HEADER = 14
_HEX = re.compile(rb"[0-9A-Fa-f]{8}")
_TRAILER = "TRAILER!!!"
_TAR_BLOCK = 512
_SIZES, _MODES, _MTIMES, _LINKS, _FLAGS = 1028, 1030, 1034, 1036, 1037
_DEVICES, _INODES, _DIR_INDEXES, _BASE_NAMES, _DIR_NAMES, _LONG_SIZES = 1095, 1096, 1116, 1117, 1118, 5008
_GHOST = 1 << 6  # RPMFILE_GHOST: owned, but not in the payload


@dataclass(frozen=True)
class PackagedFile:
    """A file as the header lists it: absolute path, st_mode, size in bytes, mtime in seconds since the epoch; `link` is
    a symlink's target; files with the same `identity` (device and inode) are one file with several names."""

    path: str
    mode: int
    size: int
    mtime: int
    link: str
    ghost: bool
    identity: tuple[int, int]


def packaged_files(package: RpmFile) -> tuple[PackagedFile, ...]:
    """Every file of the package in the header's order. Raises MetadataError `bad-package`."""
    header = package.header
    try:
        names, folders = header.strings(_BASE_NAMES), header.strings(_DIR_NAMES)
        columns = (
            header.numbers(_DIR_INDEXES),
            header.numbers(_MODES),
            header.numbers(_LONG_SIZES) or header.numbers(_SIZES),
            header.numbers(_MTIMES),
            header.strings(_LINKS),
            header.numbers(_FLAGS),
            header.numbers(_DEVICES),
            header.numbers(_INODES),
        )
        if any(len(column) != len(names) for column in columns):
            raise BadHeaderError("its lists of files have different lengths")
        found = []
        for name, folder, mode, size, mtime, link, flags, device, inode in zip(names, *columns, strict=True):
            if folder >= len(folders):
                raise BadHeaderError(f"{name!r} is in a folder that is not listed")
            path = folders[folder] + name
            if not path.startswith("/") or ".." in path.split("/") or "\n" in path or len(path) > MAX_NAME:
                raise BadHeaderError(f"the file name {path[:80]!r}")
            found.append(PackagedFile(path, mode, size, mtime, link, bool(flags & _GHOST), (device, inode)))
    except BadHeaderError as error:
        raise bad_package(package.path, str(error)) from error
    return tuple(found)


def open_payload_tar(path: Path) -> BinaryIO:
    """The files of a verified package as an uncompressed tar, to be read once from start to end and closed. Raises
    MetadataError `bad-package`, also while it is read; OSError where the file cannot be opened."""
    file = path.open("rb")
    try:
        package = read_package_from(file, path)
        size = file.seek(0, io.SEEK_END) - package.payload_offset
        part = io.BufferedReader(Part(file, package.payload_offset, size), BLOCK)
        plain = Bounded(
            expanding(part, package.payload_form), file, MAX_PAYLOAD, lambda cause: bad_package(path, cause)
        )
        stream = cast(io.BufferedReader, io.BufferedReader(plain, BLOCK))
        return cast(BinaryIO, io.BufferedReader(_Pieces(_tar(_Archive(stream, package)), stream), BLOCK))
    except BaseException:
        file.close()
        raise


class _Pieces(io.RawIOBase):
    """Pieces of bytes as a file; `below` is closed with it."""

    def __init__(self, pieces: Iterator[bytes], below: io.BufferedReader) -> None:
        self._pieces, self._below = pieces, below
        self._ready = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._ready:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._ready = memoryview(piece)
        count = min(len(buffer), len(self._ready))
        buffer[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count

    def close(self) -> None:
        if not self.closed:
            self._below.close()
        super().close()


@dataclass(frozen=True)
class _Entry:
    """An entry of the archive: the file it is, and how many bytes of content follow."""

    file: PackagedFile
    size: int


class _Archive:
    """The cpio archive of a package, entry by entry."""

    def __init__(self, stream: io.BufferedReader, package: RpmFile) -> None:
        self._stream, self._package = stream, package
        self.files = packaged_files(package)
        self._by_path = {f.path: f for f in self.files}
        regular = [f for f in self.files if stat.S_ISREG(f.mode) and not f.ghost]
        self._last_name = {f.identity: f.path for f in regular}  # of several names the last one has the content
        self._names = Counter(f.identity for f in regular)
        self._position = 0

    def entries(self) -> Iterator[_Entry]:
        while True:
            magic = self.read(6)
            if magic == _NEWC:
                entry = self._newc()
            elif magic == _STRIPPED:
                entry = self._stripped()
            else:
                raise self.bad("an entry of its archive has no known magic")
            if entry is None:
                return
            if entry.file.ghost:
                raise self.bad(f"{entry.file.path} is in the archive, though its header says that it is not")
            yield entry

    def content(self, size: int) -> Iterator[bytes]:
        while size:
            block = self.read(min(size, BLOCK))
            size -= len(block)
            yield block
        self._align()

    def read(self, size: int) -> bytes:
        data = self._stream.read(size)
        if len(data) != size:
            raise self.bad("its archive ends too early")
        self._position += size
        return data

    def bad(self, cause: str) -> MetadataError:
        return bad_package(self._package.path, cause)

    def _newc(self) -> _Entry | None:
        fields = self.read(_HEADER - len(_NEWC))
        mode, size, name_size = (self._hex(fields[at : at + 8]) for at in (8, 48, 88))
        if not 2 <= name_size <= MAX_NAME:
            raise self.bad(f"a name of {name_size} bytes in its archive")
        name = self.read(name_size)[:-1].decode("utf-8", "surrogateescape")
        self._align()
        if name == _TRAILER:
            return None
        path = "/" + name.removeprefix(".").lstrip("/") if name.startswith(("./", "/")) else f"/{name}"
        file = self._by_path.get(path)
        if file is None or stat.S_IFMT(mode) != stat.S_IFMT(file.mode):
            raise self.bad(f"{path[:80]!r} is in its archive, but not so in its header")
        if size != self._expected(file) and (size or not self._has_several_names(file)):
            raise self.bad(f"{path[:80]!r} has {size} bytes in its archive and {file.size} in its header")
        return _Entry(file, size)

    def _stripped(self) -> _Entry | None:
        number = self._hex(self.read(_STRIPPED_HEADER - len(_STRIPPED)))
        self._align()
        if number >= len(self.files):
            raise self.bad(f"its archive has a file {number}, its header {len(self.files)} files")
        file = self.files[number]
        without = self._has_several_names(file) and self._last_name[file.identity] != file.path
        return _Entry(file, 0 if without else self._expected(file))

    def _expected(self, file: PackagedFile) -> int:
        if stat.S_ISLNK(file.mode):
            return len(file.link.encode("utf-8", "surrogateescape"))
        return file.size if stat.S_ISREG(file.mode) else 0

    def _has_several_names(self, file: PackagedFile) -> bool:
        return stat.S_ISREG(file.mode) and self._names[file.identity] > 1

    def _hex(self, digits: bytes) -> int:
        if not _HEX.fullmatch(digits):
            raise self.bad("a header of its archive holds something else than hex digits")
        return int(digits, 16)

    def _align(self) -> None:
        self.read(-self._position % 4)


def _tar(archive: _Archive) -> Iterator[bytes]:
    waiting: dict[tuple[int, int], list[PackagedFile]] = {}  # names of a file whose content comes with its last name
    written: dict[tuple[int, int], str] = {}
    for entry in archive.entries():
        file = entry.file
        if stat.S_ISREG(file.mode):
            if file.identity in written:
                yield _member(file, tarfile.LNKTYPE, link=written[file.identity])
                for _ in archive.content(entry.size):
                    pass
            elif entry.size < file.size:
                waiting.setdefault(file.identity, []).append(file)
            else:
                yield _member(file, tarfile.REGTYPE, size=entry.size)
                yield from archive.content(entry.size)
                yield b"\0" * (-entry.size % _TAR_BLOCK)
                written[file.identity] = file.path
                for other in waiting.pop(file.identity, ()):
                    yield _member(other, tarfile.LNKTYPE, link=file.path)
        else:
            content = b"".join(archive.content(entry.size))
            if stat.S_ISLNK(file.mode):
                if content != file.link.encode("utf-8", "surrogateescape"):
                    raise archive.bad(f"{file.path[:80]!r} leads elsewhere than its header says")
                yield _member(file, tarfile.SYMTYPE, link=file.link)
            elif stat.S_ISDIR(file.mode):
                yield _member(file, tarfile.DIRTYPE)
            elif not (stat.S_ISCHR(file.mode) or stat.S_ISBLK(file.mode)):
                raise archive.bad(f"{file.path[:80]!r} is of a type that no package has")
    if waiting:
        raise archive.bad("a file of its archive has no content")
    yield b"\0" * (2 * _TAR_BLOCK)


def _member(file: PackagedFile, kind: bytes, *, size: int = 0, link: str = "") -> bytes:
    member = tarfile.TarInfo(f".{file.path}")
    member.type, member.size, member.mtime, member.mode = kind, size, file.mtime, stat.S_IMODE(file.mode)
    member.linkname = f".{link}" if kind == tarfile.LNKTYPE else link
    return member.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")

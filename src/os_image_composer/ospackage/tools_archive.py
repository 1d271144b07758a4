"""The image tools' packages in one file that can be moved: a tar archive, not compressed, of an index and the packages.

    index.json              `ospackage.tools_index`
    packages/<file name>    the packages, in the order of the index

Packages, because the tools are only ever unpacked: they are a pure function of these files, whose digests are in locks
and in the ids of steps already. An archive of unpacked files would be a second thing to trust, and other ids. Not
compressed, because packages are compressed: it would save next to nothing, and would tie the bytes of the file to a
version of a compressor. A plain tar, because every system can look into it.

Each header has every field but name and size fixed, so the index alone says what every other byte is, and where. The
reader computes that and compares: no entry of the file can be of another kind, name, size or place.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from os_image_composer.errors import MetadataError, TrustError, UsageError
from os_image_composer.ospackage.cache import BLOCK, PackageCache, writing
from os_image_composer.ospackage.lock import AskedGroup, LockedPackage, LockedRepository, PackageSet, Transaction
from os_image_composer.ospackage.tools_index import MAX_INDEX, ToolsIndex, dump_index, parse_index
from os_image_composer.ospackage.transactions import needs_of, reachable, with_roots

__all__ = [
    "FORMAT_TOOLS",
    "TOOLS",
    "ToolsArchive",
    "check_free",
    "open_tools_archive",
    "unmarked",
    "write_tools_archive",
]

# The set of packages, and in a lock the repositories of an archive: image-tools/<name>.
TOOLS = "image-tools"
# The set of those that pack images in other formats. An archive has both.
FORMAT_TOOLS = "format-tools"
_RECORD = 512
_END = bytes(2 * _RECORD)
_INDEX = "index.json"
_FOLDER = "packages/"


@dataclass(frozen=True)
class _Entry:
    """A package of an archive; `at` is where its header begins, in bytes."""

    package: LockedPackage
    at: int


class ToolsArchive:
    """An archive all of whose bytes were checked when it was opened."""

    def __init__(self, path: Path, sha256: str, index: ToolsIndex) -> None:
        self.path = path
        self.sha256 = sha256
        self.index = index
        self._entries = {entry.package.sha256: entry for entry in _entries(index)}

    def has(self, sha256: str) -> bool:
        """Whether a package of this digest is in it."""
        return sha256 in self._entries

    def repositories(self, family: str) -> tuple[LockedRepository, ...]:
        """Those of its packages, which are of this `family`, as a lock has them: under names of their own, because a
        target may have the same ones as they are at another time."""
        url = self.path.as_uri()
        return tuple(replace(r, name=f"{TOOLS}/{r.name}", url=url, family=family) for r in self.index.repositories)

    def locked(self, name: str, asked: Mapping[str, str]) -> PackageSet:
        """What a lock has as the set `name`: the packages that meet `asked`, which are texts, each with the name of the
        package that meets it, and those that these need."""
        needed = reachable(needs_of(self.index.packages), asked.values())
        packages = tuple(
            replace(p, repository=f"{TOOLS}/{p.repository}") for p in self.index.packages if p.name in needed
        )
        return with_roots(PackageSet((Transaction(name, packages),), (AskedGroup(name, asked),)))

    def bring(self, packages: Sequence[LockedPackage], cache: PackageCache) -> None:
        """Have the packages, which are in it, in the cache, each one's bytes checked in this call. Raises TrustError
        `tools-archive-package` where the file is no longer what it was."""
        for package in packages:
            if not _is_whole(cache, package):
                with _opened(self.path) as file, cache.temporary_file() as (copy, temporary):
                    for block in _content(file, self._entries[package.sha256], str(self.path)):
                        with writing(cache.root):
                            copy.write(block)
                    with writing(cache.root):
                        copy.flush()
                    cache.add(temporary, package.sha256)


def unmarked(
    repositories: Sequence[LockedRepository], packages: Sequence[LockedPackage]
) -> tuple[list[LockedRepository], list[LockedPackage]]:
    """Repositories and packages of a lock by the names that they have outside of an archive."""
    mark = f"{TOOLS}/"
    named = [replace(p, repository=p.repository.removeprefix(mark)) for p in packages]
    used = {p.repository for p in packages}
    return [replace(r, name=r.name.removeprefix(mark)) for r in repositories if r.name in used], named


def check_free(path: Path) -> None:
    """Raises UsageError `file-exists`: what settings name by its digest, or what is carried elsewhere, is not
    overwritten; `no-such-folder`."""
    if os.path.lexists(path):
        raise UsageError("file-exists", f"{path} is there already", hint="remove it first, or give another name")
    if not path.parent.is_dir():
        raise UsageError("no-such-folder", f"{path.parent} is no folder", hint="make it first, or give another name")


def write_tools_archive(path: Path, index: ToolsIndex, files: Mapping[str, Path]) -> ToolsArchive:
    """Write an archive of the packages of `index`, whose files are given by digest, to a path that is free. The bytes
    are a function of `index`. Raises UsageError `file-exists`, and what `open_tools_archive` raises."""
    check_free(path)
    text = dump_index(index)
    parse_index(text, str(path))  # what this refuses, nobody could use
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with temporary.open("xb") as file:
            file.write(_header(_INDEX, len(text)) + _padded(text))
            for package in index.packages:
                file.write(_header(_FOLDER + package.file_name, package.size))
                with files[package.sha256].open("rb") as content:
                    while block := content.read(BLOCK):
                        file.write(block)
                file.write(_padding(package.size))
            file.write(_END)
        with temporary.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        archive = open_tools_archive(temporary, digest)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return ToolsArchive(path, archive.sha256, archive.index)


def open_tools_archive(path: Path, sha256: str) -> ToolsArchive:
    """The archive at `path`, after its SHA-256 and then everything in it was checked.

    Raises UsageError `no-tools-archive` where there is no file to read; TrustError `wrong-tools-archive` for another
    digest than `sha256`, `tools-archive-package` for a package that is not what the index says; MetadataError
    `tools-archive-truncated`, `tools-archive-path`, `tools-archive-too-large`, `tools-archive-version`,
    `bad-tools-archive`.
    """
    what = str(path)
    with _opened(path) as file:
        start = _checked_start(file, sha256, what)
        index = parse_index(_index_text(start, what), what)
        size = os.fstat(file.fileno()).st_size
        _check_size(index, size, what)
        for entry in _entries(index):
            for _ in _content(file, entry, what):
                pass
        file.seek(size - len(_END))
        if file.read() != _END:
            raise _bad(what, "something else stands where it ends")
    return ToolsArchive(path, sha256, index)


def _checked_start(file: BinaryIO, sha256: str, what: str) -> bytes:
    """The first bytes, as many as an index may have, of a file with this digest: they were read once, and the bytes
    that were hashed are those that are handed on."""
    start = file.read(_RECORD + MAX_INDEX)
    digest = hashlib.sha256(start)
    while block := file.read(BLOCK):
        digest.update(block)
    if digest.hexdigest() != sha256:
        raise TrustError(
            "wrong-tools-archive",
            f"{what} is not the archive that the settings name",
            cause=f"SHA-256 {digest.hexdigest()} instead of {sha256}",
            hint="nothing of it was used: fetch it again, or ask who wrote it which SHA-256 is right",
        )
    return start


def _index_text(start: bytes, what: str) -> bytes:
    """The index at the beginning of an archive."""
    header = start[:_RECORD]
    field = header[124:136].rstrip(b"\0 ")  # POSIX.1-2017, pax, ustar interchange format: the size, in octal digits
    if len(header) < _RECORD:
        raise _truncated(what, f"it has {len(header)} bytes")
    size = int(field, 8) if field.isdigit() and not field.strip(b"01234567") else 0
    if header != _header(_INDEX, size):
        raise _bad(what, f"it does not begin with {_INDEX}")
    if size > MAX_INDEX:
        raise MetadataError(
            "tools-archive-too-large",
            f"{what} cannot be used",
            cause=f"its index would have {size} bytes, more than {MAX_INDEX}",
            hint="nothing of it was used: have it written again by `env export`",
        )
    text = start[_RECORD : _RECORD + size]
    if len(text) < size:
        raise _truncated(what, "it ends within its index")
    return text


def _check_size(index: ToolsIndex, size: int, what: str) -> None:
    end = _end(index)
    if size < end + len(_END):
        raise _truncated(what, f"it has {size} bytes instead of {end + len(_END)}")
    if size > end + len(_END):
        raise _bad(what, f"{size - end - len(_END)} bytes stand behind its end")


def _content(file: BinaryIO, entry: _Entry, what: str) -> Iterator[bytes]:
    """The bytes of a package, whose header, digest and padding have been found right when the last one was given."""
    package = entry.package
    file.seek(entry.at)
    name = _FOLDER + package.file_name
    if file.read(_RECORD) != _header(name, package.size):
        raise MetadataError(
            "tools-archive-path",
            f"{what} cannot be used",
            cause=f"the entry at byte {entry.at} is not {name} with {package.size} bytes",
            hint="nothing of it was used: have it written again by `env export`",
        )
    digest, left = hashlib.sha256(), package.size
    while left and (block := file.read(min(BLOCK, left))):
        digest.update(block)
        left -= len(block)
        yield block
    if digest.hexdigest() != package.sha256:
        raise TrustError(
            "tools-archive-package",
            f"{what} holds something else as {package.name} {package.version}",
            cause=f"SHA-256 {digest.hexdigest()} instead of {package.sha256}",
            hint="nothing of it was used: have it written again by `env export`",
        )
    if file.read(-package.size % _RECORD).strip(b"\0"):
        raise _bad(what, f"something stands behind {name}")


def _entries(index: ToolsIndex) -> Iterator[_Entry]:
    at = _RECORD + _round_up(len(dump_index(index)))
    for package in index.packages:
        yield _Entry(package, at)
        at += _RECORD + _round_up(package.size)


def _end(index: ToolsIndex) -> int:
    """Where the packages end, in bytes."""
    return _RECORD + _round_up(len(dump_index(index))) + sum(_RECORD + _round_up(p.size) for p in index.packages)


def _header(name: str, size: int) -> bytes:
    entry = tarfile.TarInfo(name)
    entry.size = min(size, (8 << 30) - 1)  # what the field has room for
    return entry.tobuf(tarfile.USTAR_FORMAT)


def _padded(data: bytes) -> bytes:
    return data + _padding(len(data))


def _padding(size: int) -> bytes:
    return bytes(-size % _RECORD)


def _round_up(size: int) -> int:
    return size + -size % _RECORD


def _is_whole(cache: PackageCache, package: LockedPackage) -> bool:
    """Whether the cache has the package; one that has changed there is removed."""
    if not cache.has(package.sha256):
        return False
    try:
        cache.verified(package.sha256, package.size)
    except TrustError:
        return False
    return True


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        # A pipe would be waited for.
        if not stat.S_ISREG(path.stat().st_mode):
            raise IsADirectoryError(0, "not a regular file")
        file = path.open("rb")
    except OSError as error:
        raise UsageError(
            "no-tools-archive",
            f"the archive of image tools {path} cannot be read",
            cause=error.strerror,
            hint="`env export` writes one; image_tools in the settings names it",
        ) from error
    with file:
        yield file


def _truncated(what: str, cause: str) -> MetadataError:
    return MetadataError(
        "tools-archive-truncated",
        f"{what} is not whole",
        cause=cause,
        hint="the SHA-256 was taken of a part of it: copy the file again and take the one that `env export` printed",
    )


def _bad(what: str, cause: str) -> MetadataError:
    return MetadataError(
        "bad-tools-archive",
        f"{what} is not an archive of image tools",
        cause=cause,
        hint="`env export` writes one",
    )

"""What the filesystem readers have in common."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Protocol, runtime_checkable

from os_image_composer.formats.window import FormatError, Window

# Of one directory, and of all directories of one walk.
MAX_ENTRIES = 200_000
MAX_DEPTH = 64
_SPECIAL = {0x2000: "character device", 0x6000: "block device", 0x1000: "pipe", 0xC000: "socket"}


class NodeKind(Enum):
    FILE = "file"
    DIRECTORY = "directory"
    SYMLINK = "symlink"
    OTHER = "other"  # devices, pipes, sockets


@dataclass(frozen=True)
class Node:
    """A file. `number` tells it from others of the filesystem; `mode` are permission bits, None where the filesystem
    has none; `size` is bytes, `mtime` seconds since the epoch; `special` says what another kind is, such as
    `character device 1:3`; `flags` are those of chattr(1) that say nothing about how the file is stored."""

    number: int
    kind: NodeKind
    size: int
    mode: int | None = None
    uid: int = 0
    gid: int = 0
    mtime: int = 0
    special: str = ""
    flags: int = 0


@dataclass(frozen=True)
class Entry:
    """A name in a directory; bytes that are no UTF-8 are surrogate escapes."""

    name: str
    node: Node


@dataclass(frozen=True)
class Volume:
    """A filesystem as a whole: `kind` as blkid(8) names it, `used` and `size` in bytes, None where not known."""

    kind: str
    uuid: str | None = None
    label: str | None = None
    size: int | None = None
    used: int | None = None
    block_size: int | None = None
    features: tuple[str, ...] = ()


class FileSystem(Protocol):
    """Paths are absolute and of `/`-separated names; symlinks are followed inside the filesystem."""

    @property
    def volume(self) -> Volume: ...
    def find(self, path: str) -> Node | None:
        """None where there is nothing of that name. Raises FormatError."""

    def entries(self, node: Node) -> Iterator[Entry]:
        """What is in a directory, without `.` and `..`, in the order in which it lies there. Raises FormatError."""

    def content(self, node: Node) -> Window:
        """The bytes of a regular file. Raises FormatError."""


@runtime_checkable
class PosixFileSystem(FileSystem, Protocol):
    """One that has symlinks and extended attributes."""

    def link_target(self, node: Node) -> str:
        """What a symlink says. Raises FormatError."""

    def attributes(self, node: Node) -> dict[str, bytes]:
        """Extended attributes by name. Raises FormatError."""


def special(kind: int, device: tuple[int, int]) -> str:
    """What a file is that is neither file, directory nor symlink; `kind` are the type bits of its mode (inode(7))."""
    name = _SPECIAL.get(kind, "unknown")
    return f"{name} {device[0]}:{device[1]}" if name.endswith("device") else name


def read_file(filesystem: FileSystem, path: str, limit: int) -> bytes | None:
    """A regular file; None where there is none. Raises FormatError where it is larger than `limit` bytes."""
    node = filesystem.find(path)
    if node is None or node.kind is not NodeKind.FILE:
        return None
    if node.size > limit:
        raise FormatError(f"{path} has {node.size} bytes, more than the {limit} that are read of such a file")
    return filesystem.content(node).read(0, node.size)


def names(filesystem: FileSystem, path: str) -> tuple[str, ...]:
    """The names in a directory, sorted; none where there is no such directory."""
    node = filesystem.find(path)
    if node is None or node.kind is not NodeKind.DIRECTORY:
        return ()
    return tuple(sorted(entry.name for entry in filesystem.entries(node)))


def walk(filesystem: FileSystem, path: str = "/") -> Iterator[tuple[str, Node]]:
    """Everything below a directory, parents first, by name; no path begins with a slash. A directory that is met twice
    is entered once. Raises FormatError where there is no end to it."""
    start = filesystem.find(path)
    if start is None or start.kind is not NodeKind.DIRECTORY:
        return
    pending = [("", start, 0)]
    seen = {start.number}
    met = 0
    while pending:
        prefix, directory, depth = pending.pop()
        inside = sorted(filesystem.entries(directory), key=lambda entry: entry.name)
        for entry in inside:
            met += 1
            if met > MAX_ENTRIES:
                raise FormatError(f"there are more than {MAX_ENTRIES} files")
            yield prefix + entry.name, entry.node
        for entry in reversed(inside):
            if entry.node.kind is NodeKind.DIRECTORY and entry.node.number not in seen:
                if depth >= MAX_DEPTH:
                    raise FormatError(f"directories are nested more than {MAX_DEPTH} deep")
                seen.add(entry.node.number)
                pending.append((f"{prefix}{entry.name}/", entry.node, depth + 1))

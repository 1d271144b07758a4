"""Which files differ between two filesystems, or two folders, and in what: without following a symlink."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from os_image_composer.formats.capability import capability_text
from os_image_composer.formats.ext4 import Ext4
from os_image_composer.formats.filesystem import MAX_DEPTH, FileSystem, Node, NodeKind, PosixFileSystem, walk
from os_image_composer.formats.same import first_difference
from os_image_composer.formats.window import FormatError, Window
from os_image_composer.report.differences import Area, Differences

_MAX_FILES = 2_000_000
_ACL = "system.posix_acl_"
_CAPABILITY = "security.capability"
_LABEL = "security.selinux"
# Whether it has told in its own words how two files of one path, whose content is not the same, differ.
Explain = Callable[[str, Window, Window], bool]


@dataclass(frozen=True)
class FilesToCompare:
    """`prefix` stands before each path in what is told; `explain` is asked first about content that differs."""

    a: FileSystem
    b: FileSystem
    area: Area
    prefix: str
    explain: Explain


def compare_files(files: FilesToCompare, found: Differences) -> None:
    """Adds what differs. What cannot be read, because it is damaged, is told as `unreadable`."""
    _Comparing(files, found).run()


def compare_inodes(a: Ext4, b: Ext4, prefix: str, found: Differences) -> None:
    """Adds what differs in inodes and no file shows; for two filesystems that `compare_files` finds nothing in."""
    with contextlib.suppress(FormatError):
        for (path, ours), (_, theirs) in zip(walk(a), walk(b), strict=True):
            one, other = a.hidden(ours), b.hidden(theirs)
            fields = ((name, one.get(name), other.get(name)) for name in one | other)
            found.add_fields(Area.FILE, f"{prefix}/{path}", fields)


class _Comparing:
    def __init__(self, files: FilesToCompare, found: Differences) -> None:
        self.files, self.found = files, found
        self._met = 0
        self._seen: set[tuple[int, int]] = set()
        self._links: tuple[dict[int, str], dict[int, str]] = ({}, {})

    def run(self) -> None:
        a, b = self.files.a.find("/"), self.files.b.find("/")
        assert a is not None and b is not None
        self._try("/", lambda: self._facts("/", a, b))
        pending = [("", a, b, 0)]
        while pending:
            pending += reversed(list(self._directory(*pending.pop())))

    def _directory(self, path: str, a: Node, b: Node, depth: int) -> Iterator[tuple[str, Node, Node, int]]:
        """Compares what is in two directories; gives the directories in both."""
        if (a.number, b.number) in self._seen:
            return
        self._seen.add((a.number, b.number))
        try:
            if depth > MAX_DEPTH:
                raise FormatError(f"directories are nested more than {MAX_DEPTH} deep")
            ours, theirs = self._entries(self.files.a, a), self._entries(self.files.b, b)
        except FormatError as error:
            self._unreadable(path or "/", error)
            return
        for name in sorted(ours.keys() | theirs.keys()):
            inside = f"{path}/{name}"
            one, other = ours.get(name), theirs.get(name)
            if one is not None and other is not None:
                if self._try(inside, lambda i=inside, o=one, t=other: self._facts(i, o, t)):  # type: ignore[misc]
                    yield inside, one, other, depth + 1
            elif one is not None:
                self._add(inside, "missing", self._described(self.files.a, one), None)
            elif other is not None:
                self._add(inside, "missing", None, self._described(self.files.b, other))

    def _entries(self, filesystem: FileSystem, node: Node) -> dict[str, Node]:
        found = {entry.name: entry.node for entry in filesystem.entries(node)}
        self._met += len(found)
        if self._met > _MAX_FILES:
            raise FormatError(f"there are more than {_MAX_FILES} files")
        return found

    def _facts(self, path: str, a: Node, b: Node) -> bool:
        """Whether both are directories."""
        if a.kind is not b.kind:
            self._add(path, "type", _kind(a), _kind(b))
            return False
        if a.mode != b.mode:
            self._add(path, "mode", _mode(a), _mode(b))
        if (a.uid, a.gid) != (b.uid, b.gid):
            self._add(path, "owner", f"{a.uid}:{a.gid}", f"{b.uid}:{b.gid}")
        if a.flags != b.flags:
            self._add(path, "flags", f"0x{a.flags:08x}", f"0x{b.flags:08x}")
        if a.special != b.special:
            self._add(path, "device", a.special, b.special)
        if a.mtime != b.mtime:
            self._add(path, "mtime", _moment(a.mtime), _moment(b.mtime))
        one, other = self.files.a, self.files.b
        if isinstance(one, PosixFileSystem) and isinstance(other, PosixFileSystem):
            self._attributes(path, one.attributes(a), other.attributes(b))
            if a.kind is NodeKind.SYMLINK and one.link_target(a) != other.link_target(b):
                self._add(path, "target", one.link_target(a), other.link_target(b))
        if a.kind is NodeKind.FILE:
            self._hard_links(path, a, b)
            self._content(path, a, b)
        return a.kind is NodeKind.DIRECTORY

    def _attributes(self, path: str, a: dict[str, bytes], b: dict[str, bytes]) -> None:
        for name in sorted(a.keys() | b.keys()):
            one, other = a.get(name), b.get(name)
            if one == other:
                continue
            if name == _CAPABILITY:
                self._add(path, "capability", capability_text(one), capability_text(other))
            elif name == _LABEL:
                self._add(path, "label", *(None if v is None else _label(v) for v in (one, other)))
            elif name.startswith(_ACL):
                self._add(path, "acl", *(None if v is None else f"{name} {v.hex()}" for v in (one, other)))
            else:
                self._add(path, "attribute", *(None if v is None else f"{name}={_value(v)}" for v in (one, other)))

    def _hard_links(self, path: str, a: Node, b: Node) -> None:
        """Names of one file are known by the first of them."""
        ours, theirs = (first.setdefault(node.number, path) for first, node in zip(self._links, (a, b), strict=True))
        if ours != theirs and self.files.area is not Area.BOOT:  # FAT knows no second names
            self._add(path, "hard-link", *("a file of its own" if first == path else first for first in (ours, theirs)))

    def _content(self, path: str, a: Node, b: Node) -> None:
        one, other = self.files.a.content(a), self.files.b.content(b)
        place = first_difference(one, other)
        if place is None or self.files.explain(path, one, other):
            return
        # The bytes themselves are not told: the file may be /etc/shadow.
        texts = (
            (f"{node.size} bytes" for node in (a, b))
            if a.size != b.size
            else 2 * (f"from byte {place} of {a.size} on",)
        )
        self._add(path, "content", *texts)

    def _described(self, filesystem: FileSystem, node: Node) -> str:
        if node.kind is not NodeKind.DIRECTORY:
            return f"{_kind(node)}, {node.size} bytes" if node.kind is NodeKind.FILE else _kind(node)
        below = 0
        pending, seen = [node], {node.number}
        try:
            while pending:
                inside = self._entries(filesystem, pending.pop())
                below += len(inside)
                for one in inside.values():
                    if one.kind is NodeKind.DIRECTORY and one.number not in seen:
                        seen.add(one.number)
                        pending.append(one)
        except FormatError:
            return "directory, not all of which can be read"
        return f"directory, {below} files below"

    def _try(self, path: str, compare: Callable[[], bool]) -> bool:
        try:
            return compare()
        except FormatError as error:
            self._unreadable(path, error)
            return False

    def _unreadable(self, path: str, error: FormatError) -> None:
        self._add(path, "unreadable", str(error), str(error))

    def _add(self, path: str, kind: str, a: str | None, b: str | None) -> None:
        self.found.add(self.files.area, self.files.prefix + path, kind, a, b)


def _kind(node: Node) -> str:
    return node.special or node.kind.value


def _mode(node: Node) -> str:
    return "none" if node.mode is None else f"{node.mode:04o}"


def _moment(seconds: int) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return f"{seconds} seconds since 1970"


def _label(value: bytes) -> str:
    """The kernel's tools end it with NUL, and the kernel takes it without."""
    text = _value(value.removesuffix(b"\0"))
    return text if value.endswith(b"\0") else f"{text} (without the last byte)"


def _value(data: bytes) -> str:
    return data.decode("ascii") if data.isascii() and data.decode("ascii").isprintable() else f"0x{data.hex()}"

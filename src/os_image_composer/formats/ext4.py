"""ext2, ext3 and ext4, as far as reading files needs it.

Source: the Linux kernel's documentation, "ext4 Data Structures and Algorithms" (super block, group descriptors, inodes,
extents, directories, extended attributes). Directories with a hash tree are read linearly: its nodes look like empty
entries. Offsets and sizes are bytes. A journal that was not replayed is named among the features and not replayed.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from os_image_composer.formats.ext4_space import free_runs
from os_image_composer.formats.ext4_super import read_super_block
from os_image_composer.formats.filesystem import MAX_ENTRIES, Entry, Node, NodeKind, special
from os_image_composer.formats.window import FormatError, Run, RunsSource, Window

ROOT = 2
_MAX_LINKS = 40  # symlinks on the way to one file, as the kernel allows (path_resolution(7))
_MAX_RUNS = 1 << 18
_MAX_SYMLINK = 4096
_MAX_FILE = 1 << 44
_UNWRITTEN = 1 << 15  # an extent longer than this has no data yet

_EXTENTS_FLAG, _INLINE_FLAG, _ENCRYPTED_FLAG = 0x80000, 0x10000000, 0x800
# Secure deletion, undelete, compressed, synchronous, immutable, append-only, no dump, no atime; encrypted; journalled,
# no tail, synchronous directory, top of a hierarchy; verity, no copy-on-write, inherits the project, casefolded.
_SAID_FLAGS = 0xFF | _ENCRYPTED_FLAG | 0x3C000 | 0x100000 | 0x800000 | 0x20000000 | 0x40000000
_KINDS = {0x8000: NodeKind.FILE, 0x4000: NodeKind.DIRECTORY, 0xA000: NodeKind.SYMLINK}
_XATTR_MAGIC = 0xEA020000
_XATTR_PREFIXES = {
    0: "",
    1: "user.",
    2: "system.posix_acl_access",
    3: "system.posix_acl_default",
    4: "trusted.",
    6: "security.",
    7: "system.",
    8: "system.richacl",
}


@dataclass(frozen=True)
class _Inode:
    number: int
    raw: bytes
    mode: int
    size: int
    flags: int

    @property
    def block(self) -> bytes:
        """i_block: the block map, the extent tree's root, or a short symlink."""
        return self.raw[40:100]


class Ext4:
    """A filesystem of the ext family. Raises FormatError when `window` holds none, or one with impossible numbers or
    with a feature that cannot be read past."""

    def __init__(self, window: Window) -> None:
        self._window = window
        self._super = read_super_block(window)
        self.volume = self._super.volume
        self._nodes: dict[int, _Inode] = {}

    def find(self, path: str, *, follow: bool = True) -> Node | None:
        """`follow` tells whether a symlink in the last place is followed."""
        inode = self._resolve(path, follow)
        return None if inode is None else _node(inode)

    def entries(self, node: Node) -> Iterator[Entry]:
        inode = self._inode(node.number)
        for name, number in self._names(inode):
            if name not in (b".", b"..") and not {0, ord("/")} & set(name):
                yield Entry(name.decode("utf-8", "surrogateescape"), _node(self._inode(number)))

    def content(self, node: Node) -> Window:
        if node.kind is not NodeKind.FILE:
            raise FormatError("what is no regular file is read as one")
        return self._data(self._inode(node.number))

    def link_target(self, node: Node) -> str:
        """What a symlink says. Raises FormatError."""
        return self._link(self._inode(node.number)).decode("utf-8", "surrogateescape")

    def attributes(self, node: Node) -> dict[str, bytes]:
        """Extended attributes by name; those whose value lies in an inode of its own are left out."""
        return self._attributes(self._inode(node.number))

    def hidden(self, node: Node) -> dict[str, str]:
        """What an inode holds and no file shows by itself: times but for the modification's seconds, the generation."""
        raw = self._inode(node.number).raw
        fields = {"atime": 8, "ctime": 12, "generation": 100}
        if len(raw) >= 152:
            fields |= {"mtime-fraction": 136, "ctime-fraction": 132, "atime-fraction": 140, "crtime": 144}
        return {name: str(struct.unpack_from("<I", raw, at)[0]) for name, at in fields.items()}

    def super_block(self) -> dict[str, str]:
        """What it says of the filesystem beside `volume`; times are seconds since the epoch."""
        data = self._window.read(1024, 1024)
        numbers = {"mounted": 44, "written": 48, "checked": 64, "made": 264}
        found = {name: str(struct.unpack_from("<I", data, at)[0]) for name, at in numbers.items()}
        found["mounts"] = str(struct.unpack_from("<H", data, 52)[0])
        return found | {"hash-seed": data[236:252].hex(), "inodes": str(self._super.inodes)}

    def free(self) -> Iterator[tuple[int, int]]:
        """Offset and size of what neither a file nor the filesystem itself uses, in order. Raises FormatError."""
        return free_runs(self._window, self._super)

    # -- names -----------------------------------------------------------------------------------------------

    def _resolve(self, path: str, follow: bool) -> _Inode | None:
        """Walk `path` inside this filesystem: `..` of the root is the root, an absolute symlink starts there."""
        trail = [self._inode(ROOT)]
        pending = [part for part in reversed(path.encode("utf-8", "surrogateescape").split(b"/")) if part]
        links = 0
        while pending:
            name = pending.pop()
            if name == b".":
                continue
            if name == b"..":
                if len(trail) > 1:
                    trail.pop()
                continue
            if not _is(trail[-1], NodeKind.DIRECTORY):
                return None
            number = next((n for found, n in self._names(trail[-1]) if found == name), None)
            if number is None:
                return None
            inode = self._inode(number)
            if _is(inode, NodeKind.SYMLINK) and (pending or follow):
                links += 1
                if links > _MAX_LINKS:
                    raise FormatError(f"symlinks on the way to {path} have no end")
                target = self._link(inode)
                trail = trail[:1] if target.startswith(b"/") else trail
                pending += [part for part in reversed(target.split(b"/")) if part]
            else:
                trail.append(inode)
        return trail[-1]

    def _names(self, inode: _Inode) -> Iterator[tuple[bytes, int]]:
        if not _is(inode, NodeKind.DIRECTORY):
            raise FormatError("what is no directory is read as one")
        if inode.flags & _ENCRYPTED_FLAG:
            raise FormatError("a directory is encrypted")
        if inode.flags & _INLINE_FLAG:
            # Four bytes for the parent's number come first, and no entries for `.` and `..`.
            data = self._inline(inode)
            yield from self._records(data[4:60])
            yield from self._records(data[60:])
            return
        data_window = self._data(inode)
        count = 0
        size = self._super.block_size
        for offset in range(0, data_window.size - size + 1, size):
            for record in self._records(data_window.read(offset, size)):
                count += 1
                if count > MAX_ENTRIES:
                    raise FormatError(f"a directory has more than {MAX_ENTRIES} entries")
                yield record

    def _records(self, block: bytes) -> Iterator[tuple[bytes, int]]:
        at = 0
        while at + 8 <= len(block):
            number, length, name_length = struct.unpack_from("<IHB", block, at)
            # In blocks of 64 KiB the length of the whole does not fit 16 bits.
            length = len(block) if length in (0, 0xFFFF) and len(block) == 1 << 16 else length
            if length < 8 or at + length > len(block) or name_length > length - 8:
                raise FormatError("an entry of a directory does not fit its block")
            if number and name_length:
                yield block[at + 8 : at + 8 + name_length], number
            at += length

    def _link(self, inode: _Inode) -> bytes:
        if not 0 < inode.size <= _MAX_SYMLINK:
            raise FormatError(f"a symlink has {inode.size} bytes")
        if inode.flags & _ENCRYPTED_FLAG:
            raise FormatError("a symlink is encrypted")
        if inode.size < 60 and not inode.flags & (_EXTENTS_FLAG | _INLINE_FLAG):
            return inode.block[: inode.size]
        return self._data(inode).read(0, inode.size)

    # -- inodes and their data -------------------------------------------------------------------------------

    def _inode(self, number: int) -> _Inode:
        if number in self._nodes:
            return self._nodes[number]
        s = self._super
        if not 1 <= number <= s.inodes:
            raise FormatError(f"there is no inode {number}")
        group, index = divmod(number - 1, s.inodes_per_group)
        descriptor = (s.first_block + 1) * s.block_size + group * s.descriptor_size
        low = struct.unpack("<I", self._window.read(descriptor + 8, 4))[0]
        high = struct.unpack("<I", self._window.read(descriptor + 40, 4))[0] if s.descriptor_size >= 64 else 0
        table = low | high << 32
        raw = self._window.read(table * s.block_size + index * s.inode_size, s.inode_size)
        mode, size_low, flags, size_high = (
            struct.unpack_from(form, raw, at)[0] for form, at in (("<H", 0), ("<I", 4), ("<I", 32), ("<I", 108))
        )
        inode = _Inode(number, raw, mode, size_low | size_high << 32, flags)
        if inode.size > _MAX_FILE:
            raise FormatError(f"inode {number} claims {inode.size} bytes")
        if len(self._nodes) > 4096:
            self._nodes.clear()
        self._nodes[number] = inode
        return inode

    def _data(self, inode: _Inode) -> Window:
        if inode.flags & _ENCRYPTED_FLAG:
            raise FormatError("a file is encrypted")
        if inode.flags & _INLINE_FLAG:
            return Window.of(self._inline(inode)[: inode.size])
        runs = list(self._extents(inode) if inode.flags & _EXTENTS_FLAG else self._mapped(inode))
        return Window(RunsSource(self._window, runs, inode.size), 0, inode.size)

    def _inline(self, inode: _Inode) -> bytes:
        return inode.block + self._attributes(inode).get("system.data", b"")

    def _extents(self, inode: _Inode) -> Iterator[Run]:
        """The leaves of the extent tree, in its order."""
        pending = [(inode.block, 6)]
        count = 0
        while pending:
            node, above = pending.pop()
            magic, entries, _, depth = struct.unpack_from("<HHHH", node)
            if magic != 0xF30A or depth >= above or 12 + entries * 12 > len(node):
                raise FormatError(f"the extent tree of inode {inode.number} is damaged")
            rows = [node[12 + 12 * n : 24 + 12 * n] for n in range(entries)]
            count += entries
            if count > _MAX_RUNS:
                raise FormatError(f"inode {inode.number} has more than {_MAX_RUNS} extents")
            if depth:
                for row in reversed(rows):
                    low, high = struct.unpack_from("<4xIH", row)
                    pending.append((self._block(low | high << 32), depth))
                continue
            for row in rows:
                first, length, high, low = struct.unpack("<IHHI", row)
                size, place = self._super.block_size, (low | high << 32) * self._super.block_size
                written = length <= _UNWRITTEN
                length = length if written else length - _UNWRITTEN
                yield Run(first * size, length * size, place if written else None)

    def _mapped(self, inode: _Inode) -> Iterator[Run]:
        """The block map of ext2 and ext3: 12 blocks, then one, two and three levels of blocks of numbers."""
        size = self._super.block_size
        wanted = -(-inode.size // size)
        if wanted > _MAX_RUNS:
            raise FormatError(f"inode {inode.number} claims {inode.size} bytes")
        numbers = struct.unpack("<15I", inode.block)
        reached = 0
        run = Run(0, 0, None)
        for number in self._numbers(numbers, wanted):
            place = number * size or None
            if place == (None if run.place is None else run.place + run.size):
                run = Run(run.offset, run.size + size, run.place)
            else:
                if run.size:
                    yield run
                run = Run(reached, size, place)
            reached += size
        if run.size:
            yield run

    def _numbers(self, top: tuple[int, ...], wanted: int) -> Iterator[int]:
        per_block = self._super.block_size // 4
        yield from top[: min(12, wanted)]
        left = wanted - 12
        for level in (1, 2, 3):
            if left > 0:
                yield from self._below(top[11 + level], level, min(left, per_block**level))
                left -= per_block**level

    def _below(self, number: int, level: int, wanted: int) -> Iterator[int]:
        if number == 0:
            yield from (0 for _ in range(wanted))
            return
        per_block = self._super.block_size // 4
        inside = struct.unpack(f"<{per_block}I", self._block(number))
        if level == 1:
            yield from inside[:wanted]
            return
        for one in inside:
            if wanted <= 0:
                return
            yield from self._below(one, level - 1, min(wanted, per_block ** (level - 1)))
            wanted -= per_block ** (level - 1)

    def _block(self, number: int) -> bytes:
        return self._window.read(number * self._super.block_size, self._super.block_size)

    # -- extended attributes ---------------------------------------------------------------------------------

    def _attributes(self, inode: _Inode) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        if len(inode.raw) > 132:
            (extra,) = struct.unpack_from("<H", inode.raw, 128)
            start = 128 + extra
            if start + 4 <= len(inode.raw) and inode.raw[start : start + 4] == struct.pack("<I", _XATTR_MAGIC):
                found |= _attribute_entries(inode.raw[start + 4 :], inode.raw[start + 4 :])
        low, high = struct.unpack_from("<I", inode.raw, 104)[0], struct.unpack_from("<H", inode.raw, 118)[0]
        number = low | high << 32
        if number:
            block = self._block(number)
            if block[:4] != struct.pack("<I", _XATTR_MAGIC):
                raise FormatError(f"the attributes of inode {inode.number} are damaged")
            found |= _attribute_entries(block[32:], block)
        return found


def _attribute_entries(entries: bytes, values: bytes) -> dict[str, bytes]:
    """`values` is what offsets of values count from."""
    found: dict[str, bytes] = {}
    at = 0
    while at + 16 <= len(entries) and entries[at : at + 4] != bytes(4):
        name_length, prefix, offset, value_inode, size = struct.unpack_from("<BBHII", entries, at)
        name = entries[at + 16 : at + 16 + name_length]
        if len(name) < name_length or (not value_inode and offset + size > len(values)):
            raise FormatError("an extended attribute does not fit its place")
        if not value_inode and prefix in _XATTR_PREFIXES:
            found[_XATTR_PREFIXES[prefix] + name.decode("utf-8", "surrogateescape")] = values[offset : offset + size]
        at += (16 + name_length + 3) // 4 * 4
    return found


def _is(inode: _Inode, kind: NodeKind) -> bool:
    return _KINDS.get(inode.mode & 0xF000, NodeKind.OTHER) is kind


def _node(inode: _Inode) -> Node:
    uid_low, gid_low = struct.unpack_from("<H", inode.raw, 2)[0], struct.unpack_from("<H", inode.raw, 24)[0]
    uid_high, gid_high = struct.unpack_from("<HH", inode.raw, 120)
    (mtime,) = struct.unpack_from("<I", inode.raw, 16)
    kind = _KINDS.get(inode.mode & 0xF000, NodeKind.OTHER)
    return Node(
        number=inode.number,
        kind=kind,
        size=inode.size,
        mode=inode.mode & 0o7777,
        uid=uid_low | uid_high << 16,
        gid=gid_low | gid_high << 16,
        mtime=mtime,
        special=special(inode.mode & 0xF000, _device(inode.block)) if kind is NodeKind.OTHER else "",
        flags=inode.flags & _SAID_FLAGS,
    )


def _device(block: bytes) -> tuple[int, int]:
    """Major and minor number, in the old form or in the new one (ext4_iget, old_decode_dev and new_decode_dev)."""
    old, new = struct.unpack_from("<II", block)
    if old:
        return old >> 8 & 0xFF, old & 0xFF
    return (new & 0xFFF00) >> 8, (new & 0xFF) | (new >> 12 & 0xFFF00)

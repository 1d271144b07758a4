"""The mounted tree as a tar stream, for programs that make a filesystem of one: the same bytes for the same tree.

POSIX pax (IEEE 1003.1, "pax Interchange Format"): entries in the order of `walk`, extended attributes as records
`SCHILY.xattr.NAME`, which are the only way to say exactly which of them a filesystem gets.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence

from .request import Channel, Refused, Request
from .walk import kept_xattrs, walk

_CHUNK = 1 << 20
_BLOCK = 512
_LARGEST = 8**11 - 1  # of a size or a time in a header's field
_TYPES = {stat.S_IFREG: b"0", stat.S_IFLNK: b"2", stat.S_IFDIR: b"5", stat.S_IFIFO: b"6"}
_END = bytes(2 * _BLOCK)


def archive(request: Request, fds: Sequence[int], channel: Channel) -> None:
    """`clamp` is the latest time of an entry (seconds since the epoch); `attributes` are set beside the tree's own."""
    clamp = int(request["options"]["clamp"])
    more: dict[str, list[tuple[str, bytes]]] = {}
    for path, name, value in request["options"]["attributes"]:
        more.setdefault(f"/{path}", []).append((name, bytes.fromhex(value)))
    pending = bytearray()
    for chunk in _stream(clamp, more):
        pending += chunk
        if len(pending) >= _CHUNK:
            channel.tell({}, bytes(pending))
            pending.clear()
    channel.tell({}, bytes(pending) + _END)


def _stream(clamp: int, more: dict[str, list[tuple[str, bytes]]]) -> Iterator[bytes]:
    first: dict[tuple[int, int], bytes] = {}
    for path, status in walk():
        kind = stat.S_IFMT(status.st_mode)
        name = os.fsencode(path.lstrip("/"))
        if kind == stat.S_IFDIR:
            name = name + b"/" if name else b"./"
        if kind not in _TYPES:
            raise Refused("unknown-type", f"{path} is neither file, directory, symlink nor pipe")
        target, size, flag = b"", 0, _TYPES[kind]
        if kind == stat.S_IFLNK:
            target = os.fsencode(os.readlink(path))
        elif kind == stat.S_IFREG:
            linked = first.get((status.st_dev, status.st_ino)) if status.st_nlink > 1 else None
            if linked is None:
                first[status.st_dev, status.st_ino] = name
                size = status.st_size
            else:
                target, flag = linked, b"1"
        attributes = [] if flag == b"1" else [*kept_xattrs(path), *more.get(path, ())]
        yield from _entry(name, target, flag, status, size, min(int(status.st_mtime), clamp), attributes)
        if size:
            yield from _content(path, size)


def _entry(
    name: bytes,
    target: bytes,
    flag: bytes,
    status: os.stat_result,
    size: int,
    time: int,
    attributes: Sequence[tuple[str, bytes]],
) -> Iterator[bytes]:
    records = [(b"SCHILY.xattr." + os.fsencode(key), value) for key, value in attributes]
    records += [(key, value) for key, value in ((b"path", name), (b"linkpath", target)) if len(value) > 100]
    records += [(b"size", b"%d" % size)] if size > _LARGEST else []
    if records:
        text = b"".join(_record(key, value) for key, value in records)
        yield _header(b"pax", b"", b"x", 0o644, (0, 0), len(text), time) + text + _padding(len(text))
    owner, mode = (status.st_uid, status.st_gid), stat.S_IMODE(status.st_mode)
    yield _header(name[:100], target[:100], flag, mode, owner, min(size, _LARGEST), time)


def _record(key: bytes, value: bytes) -> bytes:
    """`LENGTH KEY=VALUE` and a line feed; the length counts itself."""
    rest = len(key) + len(value) + 3
    length = rest + len(str(rest))
    if len(str(length)) != len(str(rest)):
        length = rest + len(str(length))
    return b"%d %s=%s\n" % (length, key, value)


def _header(name: bytes, target: bytes, flag: bytes, mode: int, owner: tuple[int, int], size: int, time: int) -> bytes:
    fields = (
        name.ljust(100, b"\0"),
        *(b"%07o\0" % number for number in (mode, *owner)),
        *(b"%011o\0" % number for number in (size, max(time, 0))),
        b" " * 8,
        flag,
        target.ljust(100, b"\0"),
        b"ustar\x0000",
    )
    block = b"".join(fields).ljust(_BLOCK, b"\0")
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def _content(path: str, size: int) -> Iterator[bytes]:
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        left = size
        while left:
            chunk = os.read(fd, min(_CHUNK, left))
            if not chunk:
                raise Refused("file-changed", f"{path} became shorter while it was read")
            left -= len(chunk)
            yield chunk
    finally:
        os.close(fd)
    yield _padding(size)


def _padding(size: int) -> bytes:
    return bytes(-size % _BLOCK)

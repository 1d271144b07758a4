"""A tree as a cpio archive of the form `newc`, which is the one that the kernel unpacks into its first root filesystem.

Source: the kernel's Documentation/driver-api/early-userspace/buffer-format.rst. Entries are in the order of `walk`,
numbered from 1; nothing of the filesystem that the tree lies on is in them.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence

from .request import Channel, Refused, Request
from .walk import walk

_CHUNK = 1 << 20
_LARGEST = (1 << 32) - 1
_TYPES = (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK, stat.S_IFIFO)


def cpio(request: Request, fds: Sequence[int], channel: Channel) -> None:
    """Payloads are the archive, in order."""
    for piece in _pieces(int(request["options"]["clamp"])):
        channel.tell({}, piece)


def _pieces(clamp: int) -> Iterator[bytes]:
    """Small entries are gathered."""
    waiting = bytearray()
    for piece in _entries(clamp):
        waiting += piece
        if len(waiting) >= _CHUNK:
            yield bytes(waiting)
            waiting.clear()
    yield bytes(waiting)


def _entries(clamp: int) -> Iterator[bytes]:
    entries = list(walk())
    # Names of one file, as they are seen here: what the filesystem says of links counts those that are hidden, too.
    names: dict[tuple[int, int], list[str]] = {}
    for path, status in entries:
        if stat.S_ISREG(status.st_mode):
            names.setdefault((status.st_dev, status.st_ino), []).append(path)
    numbers: dict[tuple[int, int], int] = {}
    number = total = 0
    for path, status in entries:
        kind = stat.S_IFMT(status.st_mode)
        if kind not in _TYPES:
            raise Refused("not-in-archive", f"{path} is a device or a socket, which no initrd image may hold")
        key = (status.st_dev, status.st_ino)
        own = names[key] if kind == stat.S_IFREG else [path]
        if len(own) == 1 or key not in numbers:
            number += 1
            numbers[key] = number
        target = os.fsencode(os.readlink(path)) if kind == stat.S_IFLNK else b""
        # Of a file with several names the last one brings the content, as GNU cpio has it.
        size = len(target) or (status.st_size if kind == stat.S_IFREG and own[-1] == path else 0)
        if size > _LARGEST:
            raise Refused("not-in-archive", f"{path} has {size} bytes, and a cpio archive holds files of up to 4 GiB")
        links = 2 if kind == stat.S_IFDIR else len(own)
        mtime = max(min(int(status.st_mtime), clamp), 0)
        fields = (numbers[key], status.st_mode, status.st_uid, status.st_gid, links, mtime, size)
        head = _header(fields, os.fsencode(path).lstrip(b"/") or b".")
        yield head
        if target:
            yield _padded(target)
        elif size:
            yield from _content(path, size)
        total += len(head) + size + -size % 4
    tail = _header((0, 0, 0, 0, 1, 0, 0), b"TRAILER!!!")
    yield tail
    # The archive ends with a whole block, as tapes want it and GNU cpio does it.
    yield bytes(-(total + len(tail)) % 512)


def _header(fields: tuple[int, ...], name: bytes) -> bytes:
    """Numbers of the file's and of a device, all 0, the length of the name, and a checksum that this form lacks."""
    values = (*fields, 0, 0, 0, 0, len(name) + 1, 0)
    return _padded(b"070701" + b"".join(b"%08X" % value for value in values) + name + b"\0")


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def _content(path: str, size: int) -> Iterator[bytes]:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        left = size
        while left:
            chunk = os.read(fd, min(_CHUNK, left))
            if not chunk:
                raise Refused("not-in-archive", f"{path} became shorter while it was read")
            left -= len(chunk)
            yield chunk
    finally:
        os.close(fd)
    yield bytes(-size % 4)

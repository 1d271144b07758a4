"""cpio archives in the "new ASCII" form, as the kernel unpacks initrds (initramfs buffer format)."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import zstandard

_HEADER = 110  # bytes: the magic, then 13 numbers of 8 hexadecimal digits
_ZSTD = b"\x28\xb5\x2f\xfd"


@dataclass(frozen=True)
class Member:
    name: str
    inode: int
    mode: int
    uid: int
    gid: int
    mtime: int
    device: tuple[int, int]
    links: int
    content: bytes


def members(initrd: Path) -> list[list[Member]]:
    """Of each archive in an initrd, but for empty ones: they follow one another, each as it is or packed by zstd."""
    data, found = initrd.read_bytes(), []
    while data := data.lstrip(b"\0"):
        if data.startswith(_ZSTD):
            data = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data)).read()
        archive = list(_members(data))
        if archive:
            found.append([member for member, _ in archive])
        data = data[archive[-1][1] :] if archive else b""
    return found


def _members(data: bytes) -> Iterator[tuple[Member, int]]:
    """With the offset behind each; the last is the trailer."""
    offset = 0
    while True:
        head = data[offset : offset + _HEADER]
        assert head.startswith(b"070701"), head[:16]
        inode, mode, uid, gid, links, mtime, size, major, minor, _, _, length, _ = (
            int(head[6 + 8 * i : 14 + 8 * i], 16) for i in range(13)
        )
        name = data[offset + _HEADER : offset + _HEADER + length - 1].decode()
        start = _four(offset + _HEADER + length)
        offset = _four(start + size)
        if name == "TRAILER!!!":
            return
        yield Member(name, inode, mode, uid, gid, mtime, (major, minor), links, data[start : start + size]), offset


def _four(offset: int) -> int:
    return -(-offset // 4) * 4

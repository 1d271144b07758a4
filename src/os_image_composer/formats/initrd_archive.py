"""Is this file the first root filesystem of a kernel, and how large does it become?

Source: the kernel's Documentation/driver-api/early-userspace/buffer-format.rst; RFC 8878 §3.1.1 (Zstandard frames).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import zstandard

_ZSTD = b"\x28\xb5\x2f\xfd"
_CPIO = b"070701"
_ENOUGH = 1 << 18
_MIB = 1 << 20
_ROUND = 256


@dataclass(frozen=True)
class InitrdArchive:
    """`unpacked` is the size in bytes of the archive as the kernel sees it; None where the file does not say."""

    unpacked: int | None


def read_initrd_archive(path: Path) -> InitrdArchive | None:
    """None for a file of another kind. Raises OSError."""
    with path.open("rb") as file:
        start = file.read(_ENOUGH)
    if start.startswith(_CPIO):
        return InitrdArchive(path.stat().st_size)
    if not start.startswith(_ZSTD):
        return None
    try:
        first = zstandard.ZstdDecompressor().decompressobj().decompress(start)
        size = zstandard.frame_content_size(start)
    except zstandard.ZstdError:
        return None
    if not first.startswith(_CPIO):
        return None
    return InitrdArchive(size if size > 0 else None)


def memory_for(unpacked: int) -> int:
    """MiB of memory with which a system starts whose first root filesystem has so many bytes: what is unpacked may fill
    half of it (tmpfs(5), `size`), and the archive is there at the same time."""
    needed = -(-2 * unpacked // _MIB) + _ROUND
    return -(-needed // _ROUND) * _ROUND

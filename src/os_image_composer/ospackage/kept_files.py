"""A folder of files that can be had again, which stays below a size: what was not used for longest goes first."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from os_image_composer.ospackage.cache import write_atomically

LIMIT = 2 << 30  # bytes; an index of Debian's main takes 20 MB with what belongs to it


def use(path: Path) -> bytes:
    """The file's bytes; notes that it was used. Raises OSError."""
    data = path.read_bytes()
    with contextlib.suppress(OSError):  # a cache that cannot be written can still be read
        os.utime(path)
    return data


def keep(path: Path, data: bytes, limit: int = LIMIT) -> None:
    """Write a file, and remove others where its folder has become larger than `limit` bytes. Raises StoreError."""
    write_atomically(path, data)
    found = []
    for other in path.parent.iterdir():
        with contextlib.suppress(FileNotFoundError):  # another run keeps order here, too
            status = other.stat()
            found.append((other != path, status.st_mtime_ns, status.st_size, other))
    size = sum(entry[2] for entry in found)
    for removable, _, freed, other in sorted(found, key=lambda entry: entry[1]):
        if size <= limit:
            break
        if removable:
            with contextlib.suppress(OSError):
                other.unlink(missing_ok=True)
                size -= freed

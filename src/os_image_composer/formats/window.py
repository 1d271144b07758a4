"""A range of bytes that readers look at: a file, a partition of it, or a file inside a filesystem inside that.

Reading is by offset and never past the end, so a wrong offset is an error and not somebody else's bytes. All windows
on one file share one allowance: damaged or hostile structures that lead round and round end there.
"""

from __future__ import annotations

import bisect
import errno
import itertools
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

# What one look at an image may read, in bytes; each read counts as one page at least. An honest image of 500 packages
# needs about 1 % of it.
ALLOWANCE = 4 << 30
_PAGE = 4096
_BLOCK = 1 << 20


class FormatError(ValueError):
    """The bytes are not what the format says, or lie where there are none."""


class Source(Protocol):
    """Bytes by offset. `read` is only called for ranges inside `size`."""

    @property
    def size(self) -> int: ...
    def read(self, offset: int, size: int) -> bytes: ...


class FileSource:
    """An open file. Holes of a sparse file read as zeros without being stored anywhere. Close it, or use `with`."""

    def __init__(self, path: Path, allowance: int = ALLOWANCE) -> None:
        # Without waiting: a named pipe would keep us until somebody writes to it, and cannot be read at an offset.
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            # By seeking: a block device says 0 in its status.
            self.size = os.lseek(self._fd, 0, os.SEEK_END)
        except OSError:
            os.close(self._fd)
            raise
        self._left = allowance

    def __enter__(self) -> FileSource:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    def allow(self, allowance: int) -> None:
        """Let so many bytes be read from now on."""
        self._left = allowance

    def read(self, offset: int, size: int) -> bytes:
        self._left -= max(size, _PAGE)
        if self._left < 0:
            raise FormatError("its structures lead to more bytes than an image has reason to")
        data = os.pread(self._fd, size, offset)
        if len(data) != size:
            raise FormatError(f"it ends at {offset + len(data)}, while it is read")
        return data

    def stored(self, offset: int, size: int) -> Iterator[tuple[int, int]]:
        """Offset and size of what is no hole in a range, in order; all of it where the filesystem cannot tell."""
        at, end = offset, offset + size
        while at < end:
            try:
                start = min(os.lseek(self._fd, at, os.SEEK_DATA), end)
                at = min(os.lseek(self._fd, start, os.SEEK_HOLE), end) if start < end else end
            except OSError as error:
                if error.errno == errno.ENXIO:  # no data up to the end
                    return
                start, at = at, end
            if start < at:
                yield start, at - start


@dataclass(frozen=True)
class BytesSource:
    """Bytes in memory."""

    data: bytes

    @property
    def size(self) -> int:
        return len(self.data)

    def read(self, offset: int, size: int) -> bytes:
        return self.data[offset : offset + size]


@dataclass(frozen=True)
class Window:
    """`size` bytes of `source` from `start` on."""

    source: Source
    start: int
    size: int

    @classmethod
    def over(cls, source: Source) -> Window:
        return cls(source, 0, source.size)

    @classmethod
    def of(cls, data: bytes) -> Window:
        return cls(BytesSource(data), 0, len(data))

    def read(self, offset: int, size: int) -> bytes:
        """Exactly `size` bytes. Raises FormatError where they do not lie inside."""
        if offset < 0 or size < 0 or offset + size > self.size:
            raise FormatError(f"{size} bytes at {offset} lie outside of {self.size} bytes")
        return self.source.read(self.start + offset, size) if size else b""

    def head(self, size: int, offset: int = 0) -> bytes:
        """Up to `size` bytes: fewer, or none, where the window ends."""
        return self.read(offset, max(min(size, self.size - offset), 0)) if offset < self.size else b""

    def part(self, offset: int, size: int) -> Window:
        """A window inside this one. Raises FormatError where it does not fit."""
        if offset < 0 or size < 0 or offset + size > self.size:
            raise FormatError(f"{size} bytes at {offset} lie outside of {self.size} bytes")
        return Window(self.source, self.start + offset, size)

    def blocks(self) -> Iterator[bytes]:
        """All of it, a megabyte at a time."""
        for offset in range(0, self.size, _BLOCK):
            yield self.read(offset, min(_BLOCK, self.size - offset))


class Run(NamedTuple):
    """Bytes of a file that lie together: `offset` in the file, `size`, and where; `place` None reads as zeros."""

    offset: int
    size: int
    place: int | None


class RunsSource:
    """A file scattered over `window`: `runs` rising by offset and not overlapping; what none of them covers is zeros.
    Raises FormatError where they overlap."""

    def __init__(self, window: Window, runs: Sequence[Run], size: int) -> None:
        self.size = size
        self._window = window
        self._runs = runs
        self._offsets = [run.offset for run in runs]
        for one, other in itertools.pairwise(runs):
            if other.offset < one.offset + one.size:
                raise FormatError(f"two places are given for the bytes at {other.offset} of a file")

    def stored(self, offset: int, size: int) -> Iterator[tuple[int, int]]:
        """Offset and size of what has a place in a range, in order; the rest reads as zeros."""
        first = max(bisect.bisect_right(self._offsets, offset) - 1, 0)
        for run in itertools.islice(self._runs, first, None):
            start, end = max(run.offset, offset), min(run.offset + run.size, offset + size)
            if run.offset >= offset + size:
                return
            if run.place is not None and start < end:
                yield start, end - start

    def read(self, offset: int, size: int) -> bytes:
        parts = []
        end = offset + size
        number = max(bisect.bisect_right(self._offsets, offset) - 1, 0)
        while offset < end:
            while number < len(self._runs) and self._runs[number].offset + self._runs[number].size <= offset:
                number += 1
            run = self._runs[number] if number < len(self._runs) else Run(end, 0, None)
            if offset < run.offset:
                take = min(end, run.offset) - offset
                parts.append(bytes(take))
            else:
                take = min(end, run.offset + run.size) - offset
                place = run.place
                parts.append(bytes(take) if place is None else self._window.read(place + offset - run.offset, take))
            offset += take
        return b"".join(parts)

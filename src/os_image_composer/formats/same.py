"""Where two ranges of bytes differ first. What neither of them stores, holes, is not read: so comparing two sparse
images takes as long as what is in them, and no made-up size keeps us busy."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator

from os_image_composer.formats.window import FileSource, RunsSource, Window

_BLOCK = 1 << 20


def first_difference(a: Window, b: Window) -> int | None:
    """The offset of the first byte that differs; of two windows of different size, where the smaller one ends, if not
    before. None where they are equal. Raises FormatError."""
    size = min(a.size, b.size)
    for start, end in _united(_stored(a, size), _stored(b, size)):
        for offset in range(start, end, _BLOCK):
            length = min(_BLOCK, end - offset)
            one, other = a.read(offset, length), b.read(offset, length)
            if one != other:
                return offset + _first(one, other)
    return None if a.size == b.size else size


def _stored(window: Window, size: int) -> Iterator[tuple[int, int]]:
    """Start and end of what is no hole, counted from the window's start."""
    source = window.source
    if isinstance(source, FileSource | RunsSource):
        for offset, length in source.stored(window.start, size):
            yield offset - window.start, offset - window.start + length
    elif size:
        yield 0, size


def _united(*ranges: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """What lies in any of them; each is in order."""
    start, end = 0, 0
    for first, last in heapq.merge(*ranges):
        if first > end:
            if end > start:
                yield start, end
            start = first
        end = max(end, last)
    if end > start:
        yield start, end


def _first(one: bytes, other: bytes) -> int:
    """The index of the first byte that differs, of two that are not equal."""
    low, high = 0, len(one)
    while high - low > 1:
        middle = (low + high) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle
    return low

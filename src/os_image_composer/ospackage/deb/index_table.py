"""Where in an index the entry of a package is, who provides a name, and what is essential.

Cutting an index of 68,000 entries takes 0.3 s, so the table is kept beside the index and read in 0.03 s. It holds
nothing but places and names: what a package is comes from its entry, in bytes that were checked.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise
from pathlib import Path

from os_image_composer.errors import MetadataError
from os_image_composer.ospackage.kept_index import IndexSource
from os_image_composer.ospackage.kept_parse import kept_parse

_FORM = "table-1"  # raised whenever the same index would give another table
_NUMBER = "I"  # four bytes, and no index is larger than 1 GiB
_PROVIDES = re.compile(rb"\nProvides:[ \t]*([^\n]*(?:\n[ \t][^\n]*)*)")


@dataclass(frozen=True)
class IndexTable:
    """Of each entry where it starts, in bytes, and its package's name; the numbers of the essential ones; of each name
    in a Provides how many entries have it, and the numbers of these, name after name."""

    starts: Sequence[int]
    names: Sequence[bytes]
    essential: Sequence[int]
    provided: Sequence[bytes]
    counts: Sequence[int]
    provided_by: Sequence[int]

    @cached_property
    def by_name(self) -> dict[bytes, int]:
        """The last entry of each name."""
        return dict(zip(self.names, range(len(self.names)), strict=True))

    @cached_property
    def _twins(self) -> dict[bytes, list[int]]:
        """Names that several entries have, the last entry first."""
        twins: dict[bytes, list[int]] = {}
        if len(self.by_name) != len(self.names):
            for number, name in enumerate(self.names):
                if self.by_name[name] != number:
                    twins.setdefault(name, [self.by_name[name]]).append(number)
        return twins

    @cached_property
    def _spans(self) -> dict[bytes, tuple[int, int]]:
        return dict(zip(self.provided, pairwise(accumulate(self.counts, initial=0)), strict=True))

    def numbers(self, name: bytes) -> Sequence[int]:
        """The entries of this name."""
        number = self.by_name.get(name)
        return () if number is None else self._twins.get(name, (number,))

    def providers(self, name: bytes) -> Sequence[int]:
        """The entries with this name among their Provides."""
        start, end = self._spans.get(name, (0, 0))
        return self.provided_by[start:end]


def kept_table(text: bytes, source: IndexSource, folder: Path) -> IndexTable:
    """The table of an index with this text, kept in `folder`. Raises MetadataError `bad-index`."""
    return _unpack(kept_parse(folder, source.plain_sha256, _FORM, lambda: _pack(index_table(text, source.what))))


def index_table(text: bytes, what: str) -> IndexTable:
    """Raises MetadataError `bad-index` for an entry without a name."""
    starts, essential = array(_NUMBER), array(_NUMBER)
    names: list[bytes] = []
    provided: dict[bytes, list[int]] = {}
    for start, stanza in _stanzas(text):
        number = len(names)
        starts.append(start)
        names.append(entry_name(stanza, what))
        if b"\nEssential: yes" in stanza:
            essential.append(number)
        for name in _provided(stanza):
            numbers = provided.setdefault(name, [])
            if not numbers or numbers[-1] != number:
                numbers.append(number)
    counts = array(_NUMBER, map(len, provided.values()))
    provided_by = array(_NUMBER, (number for numbers in provided.values() for number in numbers))
    return IndexTable(starts, names, essential, tuple(provided), counts, provided_by)


def entry_name(stanza: bytes, what: str) -> bytes:
    """The name of the package that an entry is about. Raises MetadataError `bad-index`."""
    start = 9 if stanza.startswith(b"Package: ") else stanza.find(b"\nPackage: ") + 10
    if start == 9 and not stanza.startswith(b"Package: "):
        raise MetadataError("bad-index", f"{what}: an entry has no name", cause=repr(stanza[:80]))
    end = stanza.find(b"\n", start)
    return stanza[start:end].strip() if end >= 0 else stanza[start:].strip()


def _stanzas(text: bytes) -> Iterator[tuple[int, bytes]]:
    start = 0
    for stanza in text.split(b"\n\n"):
        if stanza and not stanza.isspace():
            yield start, stanza
        start += len(stanza) + 2


def _provided(stanza: bytes) -> Iterator[bytes]:
    if b"\nProvides:" not in stanza:
        return
    match = _PROVIDES.search(stanza)
    for part in match[1].split(b",") if match else ():
        name = part.split(b"(", 1)[0].strip().split(b":", 1)[0]
        if b"\n" not in name:  # nobody can ask for such a name
            yield name


def _pack(table: IndexTable) -> bytes:
    """The lengths of the parts, then the parts."""
    parts = (
        array(_NUMBER, table.starts).tobytes(),
        b"\n".join(table.names),
        array(_NUMBER, table.essential).tobytes(),
        b"\n".join(table.provided),
        array(_NUMBER, table.counts).tobytes(),
        array(_NUMBER, table.provided_by).tobytes(),
    )
    return b"".join((array(_NUMBER, map(len, parts)).tobytes(), *parts))


def _unpack(data: bytes) -> IndexTable:
    lengths = _numbers(data[: 6 * array(_NUMBER).itemsize])
    ends = list(accumulate(lengths, initial=6 * array(_NUMBER).itemsize))
    starts, names, essential, provided, counts, by = (data[start:end] for start, end in pairwise(ends))
    return IndexTable(
        starts=_numbers(starts),
        names=names.split(b"\n") if starts else (),
        essential=_numbers(essential),
        provided=provided.split(b"\n") if counts else (),
        counts=_numbers(counts),
        provided_by=_numbers(by),
    )


def _numbers(data: bytes) -> array[int]:
    numbers = array(_NUMBER)
    numbers.frombytes(data)
    return numbers

"""An RPM header structure: tagged values in one block, checked before any is looked at.

Format: rpm's "RPM V4 Package format" (docs/manual/format_header.md) and its checks in lib/header.c: magic, number of
index entries and size of the data, index entries of tag, type, offset and count, then the data, big-endian.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO

MAGIC = b"\x8e\xad\xe8\x01\0\0\0\0"
INTRODUCTION = 16  # bytes: magic, number of entries, size of the data
MAX_ENTRIES = 1 << 16
MAX_DATA = 256 << 20  # bytes, as in rpm
_ENTRY = struct.Struct(">IIII")
_NULL, _CHAR, _INT8, _INT16, _INT32, _INT64, _STRING, _BIN, _STRING_ARRAY, _I18NSTRING = range(10)
_WIDTHS = {_CHAR: 1, _INT8: 1, _INT16: 2, _INT32: 4, _INT64: 8, _BIN: 1}
_FORMATS = {_CHAR: "B", _INT8: "B", _INT16: "H", _INT32: "I", _INT64: "Q"}


class BadHeaderError(ValueError):
    """What is wrong with a header, as a cause."""


@dataclass(frozen=True)
class _Entry:
    type: int
    offset: int
    count: int


@dataclass(frozen=True)
class Header:
    """`raw` is the structure as it stands in the file, which is what a header signature covers."""

    raw: bytes
    _start: int  # of the data in `raw`
    _entries: Mapping[int, _Entry]

    def __contains__(self, tag: int) -> bool:
        return tag in self._entries

    def strings(self, tag: int) -> tuple[str, ...]:
        """The strings of a tag, none where it is not there. Raises BadHeaderError, as all of these do."""
        entry = self._entries.get(tag)
        if entry is None:
            return ()
        if entry.type not in (_STRING, _STRING_ARRAY, _I18NSTRING):
            raise BadHeaderError(f"tag {tag} is of type {entry.type}, not a string")
        found, position = [], self._start + entry.offset
        for _ in range(entry.count):
            end = self.raw.find(b"\0", position)
            if end < 0:
                raise BadHeaderError(f"tag {tag} has a string without an end")
            found.append(self.raw[position:end].decode("utf-8", "surrogateescape"))
            position = end + 1
        return tuple(found)

    def string(self, tag: int, default: str = "") -> str:
        found = self.strings(tag)
        return found[0] if found else default

    def numbers(self, tag: int) -> tuple[int, ...]:
        entry = self._entries.get(tag)
        if entry is None:
            return ()
        if entry.type not in _FORMATS:
            raise BadHeaderError(f"tag {tag} is of type {entry.type}, not a number")
        return struct.unpack_from(f">{entry.count}{_FORMATS[entry.type]}", self.raw, self._start + entry.offset)

    def number(self, tag: int, default: int = 0) -> int:
        found = self.numbers(tag)
        return found[0] if found else default

    def binary(self, tag: int) -> bytes:
        entry = self._entries.get(tag)
        if entry is None:
            return b""
        if entry.type != _BIN:
            raise BadHeaderError(f"tag {tag} is of type {entry.type}, not binary")
        start = self._start + entry.offset
        return self.raw[start : start + entry.count]


def read_header(file: BinaryIO, limit: int = MAX_DATA) -> Header:
    """The header that begins at the file's position, which is behind it afterwards; its data may have `limit` bytes.
    Raises BadHeaderError."""
    introduction = file.read(INTRODUCTION)
    if len(introduction) != INTRODUCTION or not introduction.startswith(MAGIC):
        raise BadHeaderError("there is no header where one must be")
    count, size = struct.unpack(">II", introduction[8:])
    if not 0 < count <= MAX_ENTRIES or not 0 < size <= limit:
        raise BadHeaderError(f"a header of {count} entries and {size} bytes")
    body = file.read(count * _ENTRY.size + size)
    if len(body) != count * _ENTRY.size + size:
        raise BadHeaderError("its header is cut off")
    raw = introduction + body
    entries: dict[int, _Entry] = {}
    for tag, kind, offset, number in _ENTRY.iter_unpack(body[: count * _ENTRY.size]):
        _check_entry(tag, kind, offset, number, size)
        if tag in entries:
            raise BadHeaderError(f"tag {tag} stands in it twice")
        entries[tag] = _Entry(kind, offset, number)
    return Header(raw, INTRODUCTION + count * _ENTRY.size, entries)


def _check_entry(tag: int, kind: int, offset: int, count: int, size: int) -> None:
    if not _CHAR <= kind <= _I18NSTRING:
        raise BadHeaderError(f"tag {tag} is of the unknown type {kind}")
    # Whatever has no width has at least one byte each.
    if count < 1 or offset >= size or count * _WIDTHS.get(kind, 1) > size - offset:
        raise BadHeaderError(f"tag {tag} reaches outside the header")
    if kind == _STRING and count != 1:
        raise BadHeaderError(f"tag {tag} is one string, {count} times")

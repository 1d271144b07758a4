"""Why two builds of one plan gave a file other bytes: a likely reason, by rules that look at what differs.

A reason never repeats what a file holds, which may be a secret.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

_HOUR = 3600.0
_ANY = re.compile(rb"[0-9A-Za-z+/_-]+")  # what is a word or a number
_EPOCH = re.compile(rb"(?<![0-9])[0-9]{10}(?:[0-9]{3}|[0-9]{6}|[0-9]{9})?(?![0-9])")
_DAYTIME = re.compile(rb"(?<![0-9:])[0-2]?[0-9]:[0-5][0-9](?::[0-5][0-9])?(?![0-9:])")
_DIGITS = re.compile(rb"[0-9]+")
_RANDOM = re.compile(rb"[0-9a-fA-F-]{8,}|[0-9A-Za-z+/=_-]{16,}")
_TEXT = bytes(range(32, 127)) + b"\t\n\r\f"
_LONG = 4 << 20  # bytes of a file that are looked at


@dataclass(frozen=True)
class Made:
    """One of the two builds: when it ran (seconds since the epoch), and words that only its surroundings have, such as
    the names of its folders, with what each is."""

    start: float
    end: float
    words: tuple[tuple[str, str], ...] = ()


def likely_reason(a: bytes, b: bytes, one: Made, other: Made) -> str:
    """Of two contents that differ."""
    a, b = a[:_LONG], b[:_LONG]
    for content, made in ((a, one), (b, other)):
        for word, what in made.words:
            if word and word.encode() in content:
                return f"it holds {what}, {word}"
    if a.count(b"\n") > 1 and sorted(a.splitlines()) == sorted(b.splitlines()):
        return "the same lines in another order, as a folder's listing or work side by side gives them"
    text = not a.translate(None, _TEXT) and not b.translate(None, _TEXT)
    return _of_text(a, b, one, other) if text else _of_bytes(a, b, one, other)


def _of_text(a: bytes, b: bytes, one: Made, other: Made) -> str:
    ours, theirs = _differing_lines(a, b)
    if _tells_time(ours, one) or _tells_time(theirs, other):
        return "the time of the build: set it from SOURCE_DATE_EPOCH, or leave it out"
    pairs = [(x, y) for x, y in _words(ours, theirs) if x != y]
    if pairs and all(_DIGITS.fullmatch(x) and _DIGITS.fullmatch(y) for x, y in pairs):
        if all(len(x) == len(y) and len(x) <= 9 for x, y in pairs):
            return "a number of equal length: a part of the time, such as nanoseconds, or random"
        return "a number: a counter, a process id, a size, or a part of the time"
    if pairs and all(len(x) == len(y) and _RANDOM.fullmatch(x) for x, y in pairs):
        return "values of equal length that look random: a key, a salt, or an identifier"
    if len(ours) != len(theirs):
        return "there are other lines: what the program looked at was not the same"
    return "text that differs by a rule that is not known"


def _of_bytes(a: bytes, b: bytes, one: Made, other: Made) -> str:
    if len(a) == len(b):
        places = [i for i, (x, y) in enumerate(zip(a, b, strict=True)) if x != y] if a != b else []
        if places and any(_binary_time(a, i, one) and _binary_time(b, i, other) for i in _starts(places)):
            return "the time of the build, as a binary number: set it from SOURCE_DATE_EPOCH, or leave it out"
        share = len(places) / max(1, len(a))
        if share > 0.5 or _looks_random(places):
            return "bytes of equal length that look random: a key, a salt, or an identifier"
        return f"{len(places)} of {len(a)} bytes differ, the first at {places[0]}" if places else "beyond its beginning"
    return f"the sizes differ: {len(a)} and {len(b)} bytes"


def _differing_lines(a: bytes, b: bytes) -> tuple[list[bytes], list[bytes]]:
    """Those that only one of them has."""
    ours, theirs = a.splitlines(), b.splitlines()
    shared = set(ours) & set(theirs)
    return [line for line in ours if line not in shared], [line for line in theirs if line not in shared]


def _words(ours: list[bytes], theirs: list[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Words at the same place of lines at the same place."""
    for x, y in zip(ours, theirs, strict=False):
        yield from zip(_ANY.findall(x), _ANY.findall(y), strict=False)


def _tells_time(lines: Iterable[bytes], made: Made) -> bool:
    """Whether a line holds the time of the build as seconds since the epoch, or as a date with a time of day."""
    for line in lines:
        for number in _EPOCH.findall(line):
            if _within(int(number[:10]), made):
                return True
        if any(date in line for date in _dates(made)) or _DAYTIME.search(line):
            return True
    return False


def _within(seconds: float, made: Made) -> bool:
    return made.start - _HOUR <= seconds <= made.end + _HOUR


def _dates(made: Made) -> set[bytes]:
    """The days of the build as programs write them, in every zone."""
    days = {
        datetime.fromtimestamp(moment, UTC) + timedelta(hours=hours)
        for moment in (made.start, made.end)
        for hours in (-12, 0, 14)
    }
    forms = ("%Y-%m-%d", "%Y%m%d", "%d.%m.%Y", "%m/%d/%y", "%m/%d/%Y", "%b %d %Y", "%b %e", "%e %b %Y", "%d %b %Y")
    return {day.strftime(form).encode() for day in days for form in forms}


def _starts(places: list[int]) -> Iterator[int]:
    """Where a binary number may begin that differs at one of the first of `places`."""
    for place in places[:8]:
        yield from range(max(0, place - 7), place + 1)


def _binary_time(data: bytes, offset: int, made: Made) -> bool:
    """Whether there is a number of 4 or 8 bytes that is the build's time in seconds, or in nanoseconds."""
    for form in ("<I", ">I", "<Q", ">Q"):
        if offset + struct.calcsize(form) <= len(data):
            (number,) = struct.unpack_from(form, data, offset)
            if _within(number, made) or _within(number / 1e9, made):
                return True
    return False


def _looks_random(places: list[int]) -> bool:
    """Whether what differs are eight bytes or more that stand together."""
    return len(places) >= 8 and places[-1] - places[0] < 2 * len(places)

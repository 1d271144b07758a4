"""dpkg's ordering of version strings (Debian Policy 5.6.12, deb-version(7))."""

from __future__ import annotations

import re

Key = tuple[object, ...]

_PART = re.compile(r"([^0-9]*)([0-9]*)")
# Digits are read to this base: it orders decimal numbers as they are, and Python has no limit on their length then.
_BASE = 16
_END = (0,)  # below every character but "~"
_WELL_FORMED = re.compile(r"(?:[0-9]+:)?[0-9A-Za-z.+~:-]+")


def version_key(version: str) -> Key:
    """A value that orders as dpkg orders the version strings it was made from; equal for equal versions, such as
    `1.0` and `0:1.0-0`."""
    epoch, colon, rest = version.partition(":")
    if not colon or not (epoch.isascii() and epoch.isdigit()):
        epoch, rest = "0", version
    upstream, hyphen, revision = rest.rpartition("-")
    if not hyphen:
        upstream, revision = rest, ""
    return (int(epoch, _BASE), _part_key(upstream), _part_key(revision))


def is_version(text: str) -> bool:
    """Whether this can be a version at all."""
    return _WELL_FORMED.fullmatch(text) is not None


def _part_key(part: str) -> Key:
    """Runs of non-digits and of digits by turns; letters before other characters, `~` before the end."""
    key: list[object] = []
    for text, digits in _PART.findall(part or "0"):
        if text or digits:
            key.append(tuple(_order(c) for c in text) + _END)
            key.append(int(digits or "0", _BASE))
    key.append(_END)
    return tuple(key)


def _order(character: str) -> int:
    if character == "~":
        return -1
    return ord(character) if character.isalpha() else ord(character) + 256


def satisfies(version: Key, operator: str, wanted: Key) -> bool:
    """Whether `version operator wanted` holds, for the operators of Debian Policy 7.1."""
    if operator == ">=":
        return version >= wanted
    if operator == "<=":
        return version <= wanted
    if operator == "=":
        return version == wanted
    if operator == ">>":
        return version > wanted
    return version < wanted

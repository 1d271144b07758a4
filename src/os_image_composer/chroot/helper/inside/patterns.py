"""Glob patterns: `*`, `?` and `[…]` within a name, `**` for any number of directories. Hidden names match."""

from __future__ import annotations

import fnmatch
import os
import re
import stat
from collections.abc import Iterator

from .request import Refused

_MAGIC = re.compile(r"[*?\[]")


def glob(pattern: str) -> list[str]:
    """Paths below this process's root that match, without leading slash, sorted by bytes.

    Symlinks in a literal part are followed, as in `lib/modules/*`; `**` never follows one. A pattern that ends
    in `**` matches everything below, but not the directory itself.
    """
    parts = [part for part in pattern.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise Refused("path-leads-out", f"{pattern!r} leads out of the tree")
    return sorted(set(_match("", parts)), key=os.fsencode)


def _match(folder: str, parts: list[str]) -> Iterator[str]:
    if not parts:
        if folder:
            yield folder
        return
    part, rest = parts[0], parts[1:]
    if part == "**":
        if rest:
            yield from _match(folder, rest)
        for name, directory in _names(folder):
            path = f"{folder}/{name}" if folder else name
            if directory:
                yield from _match(path, parts)
            if not rest:
                yield path
    elif _MAGIC.search(part):
        matches = re.compile(fnmatch.translate(part)).match
        for name, _ in _names(folder):
            if matches(name):
                yield from _match(f"{folder}/{name}" if folder else name, rest)
    else:
        path = f"{folder}/{part}" if folder else part
        if os.path.lexists("/" + path):
            yield from _match(path, rest)


def _names(folder: str) -> list[tuple[str, bool]]:
    try:
        if not stat.S_ISDIR(os.stat("/" + folder).st_mode):
            return []
        with os.scandir("/" + folder) as entries:
            return sorted((entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries)
    except OSError:
        return []  # a dangling or looping symlink matches nothing below it

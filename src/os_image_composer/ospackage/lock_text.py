"""How a lock is written down: JSON with sorted keys, one value a line, so that a review shows what changed, and so that
a place in it has a line.

Every package and every repository carries a seal, a digest of its own lines, and the whole file carries one. A seal is
no protection against somebody who can write the file (who changes a line can make its seal as well; what that gains is
in docs/threat-model.md). It finds what happens to files by accident: a merge that took half of each side, an edit.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from typing import Any

from os_image_composer.ospackage.lock import Lock, LockedPackage, LockedRepository

LOCK_VERSION = 2
SEAL = "seal"
TIME = "%Y-%m-%dT%H:%M:%SZ"
_TIMES = ("date", "valid_until")
_SEALED = (LockedPackage, LockedRepository)
_STEP = re.compile(r"\.?([^.\[\]]+)|\[(\d+)\]")


def dump_lock(lock: Lock) -> str:
    """The lock as text; equal locks give equal text."""
    return text_of(sealed({"lockVersion": LOCK_VERSION, **_plain(lock)}))


def text_of(data: Mapping[str, Any]) -> str:
    """The one form in which such data is written."""
    return json.dumps(data, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def sealed(value: Mapping[str, Any]) -> dict[str, Any]:
    """An object with its seal."""
    return {**value, SEAL: seal_of(value)}


def seal_of(value: Mapping[str, Any]) -> str:
    """The seal of an object: of all that is in it but its own seal."""
    covered = {key: item for key, item in value.items() if key != SEAL}
    text = json.dumps(covered, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def key_of(name: str) -> str:
    """A field's name as it is written: `installed_size` is `installedSize`."""
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def time_text(seconds: int) -> str:
    """A time, in seconds since the epoch, as a lock has it."""
    return datetime.fromtimestamp(seconds, UTC).strftime(TIME)


def line_of(data: Any, place: str | Sequence[str | int]) -> int:
    """The line, from 1, of a place in `text_of(data)`; that of the nearest place above it where there is none. A place
    is text such as `sets.image.transactions[0].packages[3].sha256`, or its steps where one of them has a dot in it."""
    line, value = 1, data
    steps = [name or int(number) for name, number in _STEP.findall(place)] if isinstance(place, str) else place
    for step in steps:
        if isinstance(value, dict) and step in value:
            keys = sorted(value)
            before: Sequence[Any] = [value[key] for key in keys[: keys.index(step)]]
            value = value[step]
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            before, value = value[:step], value[step]
        else:
            break
        line += 1 + sum(map(_lines, before))
    return line


def _lines(value: Any) -> int:
    if isinstance(value, dict | list) and value:
        return 2 + sum(map(_lines, value.values() if isinstance(value, dict) else value))
    return 1


def _plain(value: Any, name: str = "") -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        plain = {key_of(f.name): _plain(getattr(value, f.name), f.name) for f in fields(value)}
        return sealed(plain) if isinstance(value, _SEALED) else plain
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if name in _TIMES and value is not None:
        return time_text(value)
    return value

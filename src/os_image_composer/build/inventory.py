"""What the store holds, for people: which results, how old, when last used."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from os_image_composer.build.plan import Plan
from os_image_composer.build.step import Kind


@dataclass(frozen=True)
class Kept:
    """A result: `step` made it. Times are seconds since the epoch. `content` is None for an image, of which the store
    keeps the digest only."""

    key: str
    step: str
    kind: Kind
    made: float
    used: float
    folder: Path
    content: Path | None


def inventory(root: Path) -> tuple[Kept, ...]:
    """The results of the store at `root`, the one that was used last first. A damaged record is left out: the next
    build replaces it."""
    found = (_kept(folder) for folder in (root / "results").glob("*"))
    return tuple(sorted((k for k in found if k is not None), key=lambda k: (-k.used, k.step)))


def note_use(root: Path, plan: Plan, now: float) -> None:
    """Remember that a build of `plan` rests on these results, also on those that it did not have to look at."""
    for step in plan:
        with contextlib.suppress(OSError, ValueError):
            key = (root / "ids" / step.id).read_text()
            os.utime(root / "results" / key / "record.json", (now, now))


def forget(root: Path, keys: frozenset[str]) -> None:
    """Drop what leads to results that are gone."""
    for link in (root / "ids").glob("*"):
        with contextlib.suppress(OSError, ValueError):
            if link.read_text() in keys:
                link.unlink()


def plain_size(folder: Path) -> tuple[int, int]:
    """Files below a folder of the caller's own, and their bytes."""
    sizes = list(_sizes(folder))
    return len(sizes), sum(sizes)


def _sizes(folder: Path) -> Iterator[int]:
    for path, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                yield (Path(path) / name).lstat().st_size


def _kept(folder: Path) -> Kept | None:
    try:
        record = json.loads((folder / "record.json").read_text())
        kind = Kind(record["kind"])
        used = (folder / "record.json").stat().st_mtime
        content = None if kind is Kind.ARTIFACT else folder / "content"
        made = folder.stat().st_mtime
        return Kept(folder.name, str(record.get("step", "?")), kind, made, max(made, used), folder, content)
    except (OSError, ValueError, KeyError, TypeError):
        return None

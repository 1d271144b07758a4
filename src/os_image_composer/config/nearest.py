"""Which known name did the writer mean?"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["allowed_values", "did_you_mean", "nearest"]


def did_you_mean(written: str, known: Iterable[str]) -> str | None:
    """A hint that names the known word nearest to `written`, None when nothing is near."""
    by_folded = {name.casefold(): name for name in sorted(known, reverse=True)}
    near = difflib.get_close_matches(written.casefold(), sorted(by_folded), n=1, cutoff=0.6)
    return f"did you mean '{by_folded[near[0]]}'?" if near else None


def allowed_values(written: str, known: Iterable[str]) -> str:
    """A hint that lists what is allowed and, first, the nearest of it."""
    names = sorted(known)
    near = did_you_mean(written, names)
    return (f"{near} " if near else "") + "allowed: " + ", ".join(names)


def nearest(known: Iterable[str], written: str, count: int = 3) -> tuple[str, ...]:
    """The names most like `written`, the best first: one slip of the pen away (a letter changed, left out, added, or
    two swapped), then those that go on where it ends (`linux-image-amd64` for `linux-image`), then two slips away.
    Made for tens of thousands of names."""
    folded = written.casefold()
    pairs = _pairs(folded)
    found: list[tuple[int, int, str]] = []
    allowed = 2 if len(folded) >= 5 else 1
    for name in known:
        if len(folded) >= 3 and name.startswith(folded) and len(name) > len(folded):
            found.append((1, len(name), name))
        # An edit changes at most three of the pairs of letters.
        elif abs(len(name) - len(folded)) <= allowed and len(pairs - _pairs(name)) <= 3 * allowed:
            distance = _distance(folded, name.casefold(), allowed)
            if distance <= allowed:
                found.append(((0, 0, 2)[distance], abs(len(name) - len(folded)), name))
    return tuple(dict.fromkeys(name for _, _, name in sorted(found)))[:count]


def _pairs(name: str) -> set[str]:
    return {name[i : i + 2] for i in range(len(name) - 1)}


def _distance(one: str, other: str, most: int) -> int:
    """Letters inserted, left out, changed or swapped with their neighbour (Damerau-Levenshtein, optimal string
    alignment); any number above `most` when there are more."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        earlier, before, row = before, row, [i]
        for j, b in enumerate(other, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (a != b))
            if earlier and j > 1 and a == other[j - 2] and one[i - 2] == b:
                cost = min(cost, earlier[j - 2] + 1)
            row.append(cost)
        if min(row) > most:
            return most + 1
    return row[-1]

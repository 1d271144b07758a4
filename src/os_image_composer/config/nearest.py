"""Which known name did the writer mean?"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["allowed_values", "did_you_mean"]


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

"""How two things differ, for a reader at a terminal."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from os_image_composer.report.differences import Area, Comparison, Difference
from os_image_composer.report.text import printable

_FEW = 40  # of one area
_PLURALS = {Area.DISK: "disk", Area.BOOT: "boot files", Area.SBOM: "bill of materials", Area.LOCK: "lock"}


def comparison_lines(comparison: Comparison, *, show_all: bool) -> Iterator[str]:
    """Lines that a terminal may show, whatever the images say. Without `show_all` the first of each area only."""
    if comparison.equal:
        how = {"image": "every byte is the same", "tree": "every file is the same"}.get(
            comparison.what, "nothing differs"
        )
        yield printable(f"{comparison.a} and {comparison.b}: {how}")
        return
    yield printable(f"- {comparison.a}")
    yield printable(f"+ {comparison.b}")
    for area, group in itertools.groupby(comparison.differences, lambda difference: difference.area):
        found = list(group)
        yield ""
        yield f"{_PLURALS.get(area, f'{area}s')}: {len(found)} difference{'s' * (len(found) > 1)}"
        shown = found if show_all else found[:_FEW]
        for difference in shown:
            yield printable(f"  {_line(difference)}")
        if len(shown) < len(found):
            yield f"  … and {len(found) - len(shown)} more: --all shows them"
    if comparison.more:
        yield f"… and {comparison.more} more that were not kept"


def _line(difference: Difference) -> str:
    where, kind, a, b = difference.where, difference.kind, difference.a, difference.b
    if a is None and b is not None:
        return f"{where}: only in the second{_of(kind)}: {b}"
    if b is None and a is not None:
        return f"{where}: only in the first{_of(kind)}: {a}"
    return f"{where}: {kind}: {a}" if a == b else f"{where}: {kind}: {a} -> {b}"


def _of(kind: str) -> str:
    return "" if kind == "missing" else f" ({kind})"

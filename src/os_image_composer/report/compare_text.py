"""How two things differ, for a reader at a terminal."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from os_image_composer.report.differences import Area, Comparison, Difference
from os_image_composer.report.text import printable

_FEW = 40  # of one area
_WIDE = 100  # characters that stand on one line
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
            yield from (printable(f"  {line}") for line in _lines(difference))
        if len(shown) < len(found):
            yield f"  … and {len(found) - len(shown)} more: --all shows them"
    if comparison.more:
        yield f"… and {comparison.more} more that were not kept"


def _lines(difference: Difference) -> Iterator[str]:
    where, kind, a, b = difference.where, difference.kind, difference.a, difference.b
    of = "" if kind == "missing" else f" ({kind})"
    if a is None or b is None:
        yield f"{where}: only in the {'second' if a is None else 'first'}{of}: {b if a is None else a}"
    elif a == b:
        yield f"{where}: {kind}: {a}"
    elif len(where) + len(a) + len(b) <= _WIDE:
        yield f"{where}: {kind}: {a} -> {b}"
    else:
        yield from (f"{where}: {kind}", f"  - {a}", f"  + {b}")

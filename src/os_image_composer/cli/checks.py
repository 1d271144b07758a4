"""How checks look: for a reader, and as JSON. Standard library only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from os_image_composer.chroot.check import Check, State

_MARKS = {State.OK: "ok     ", State.WARNING: "warning", State.FAILED: "FAILED "}


def check_lines(checks: Sequence[Check]) -> Iterator[str]:
    """One line a check, and a second with the command that mends it where it is not well."""
    width = max((len(c.name) for c in checks), default=0)
    for check in checks:
        yield f"{_MARKS[check.state]}  {check.name:<{width}}  {check.found}"
        if check.mend and check.state is not State.OK:
            yield f"{'':7}  {'':<{width}}  mend it: {check.mend}"


def checks_json(checks: Sequence[Check]) -> dict[str, object]:
    return {
        "passed": passed(checks),
        "checks": [{"name": c.name, "state": c.state.value, "found": c.found, "mend": c.mend} for c in checks],
    }


def passed(checks: Sequence[Check]) -> bool:
    return all(check.state is not State.FAILED for check in checks)

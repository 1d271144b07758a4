"""`doctor`: can this host build and boot images, and what mends it where it cannot?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from os_image_composer.cli.options import global_options, settings_of

if TYPE_CHECKING:
    from os_image_composer.chroot.doctor import Check

_MARKS = {"ok": "ok     ", "warning": "warning", "failed": "FAILED "}


def register(app: typer.Typer) -> None:
    app.command(epilog="\b\nExample:\n  os-image-composer doctor --self-test")(doctor)


def doctor(
    context: typer.Context,
    run_self_test: Annotated[
        bool, typer.Option("--self-test", help="Prove the sandbox by using it (half a minute).")
    ] = False,
) -> None:
    """Say what this host lacks, and the command that mends it. Exit code 1 when something needed is missing."""
    settings = settings_of(global_options(context))
    checks: list[Check] = []
    raise NotImplementedError(settings, checks, run_self_test)


def check_lines(checks: Sequence[Check]) -> Iterator[str]:
    width = max((len(c.name) for c in checks), default=0)
    for check in checks:
        state = str(getattr(check.state, "value", check.state))
        yield f"{_MARKS[state]}  {check.name:<{width}}  {check.found}"
        if check.mend and state != "ok":
            yield f"{'':7}  {'':<{width}}  mend: {check.mend}"

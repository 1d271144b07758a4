"""`doctor`: can this host build and boot images, and what mends it where it cannot?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from os_image_composer.cli.options import global_options, settings_of

if TYPE_CHECKING:
    from os_image_composer.chroot.doctor import Check
    from os_image_composer.config.settings import Settings

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
    from os_image_composer.chroot.doctor import HostFacts, State, examine

    checks = examine(HostFacts.of_this_process(), settings.cache_dir, settings.root_id_range)
    for line in check_lines(checks):
        print(line)
    if any(check.state is State.FAILED for check in checks):
        raise typer.Exit(1)
    if run_self_test and not _prove(settings):
        raise typer.Exit(1)


def _prove(settings: Settings) -> bool:
    """Run the sandbox's self-test in the cache folder, where its layers will be; whether all of it passed."""
    from os_image_composer.build.events import silent
    from os_image_composer.chroot.doctor import State
    from os_image_composer.chroot.ids import IdMap
    from os_image_composer.chroot.sandbox import Sandbox
    from os_image_composer.chroot.self_test import self_test

    settings.temp_dir.mkdir(parents=True, exist_ok=True)
    sandbox = Sandbox(IdMap.for_caller(settings.root_id_range), settings.temp_dir)
    print()
    checks = self_test(sandbox, settings.temp_dir, silent)
    for line in check_lines(checks):
        print(line)
    return all(check.state is not State.FAILED for check in checks)


def check_lines(checks: Sequence[Check]) -> Iterator[str]:
    """One line a check, and a second with the command that mends it where it is not well."""
    width = max((len(c.name) for c in checks), default=0)
    for check in checks:
        state = check.state.value
        yield f"{_MARKS[state]}  {check.name:<{width}}  {check.found}"
        if check.mend and state != "ok":
            yield f"{'':7}  {'':<{width}}  mend it: {check.mend}"

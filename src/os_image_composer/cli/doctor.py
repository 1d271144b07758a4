"""`doctor`: can this host build and boot images, and what mends it where it cannot?"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from os_image_composer.cli.options import global_options, settings_of

if TYPE_CHECKING:
    from os_image_composer.chroot.check import Check
    from os_image_composer.config.settings import Settings

# What a first image takes: packages, layers and unfinished work; and the image with the next one beside it.
_CACHE_BYTES = 4 << 30
_WORK_BYTES = 4 << 30


def register(app: typer.Typer) -> None:
    app.command(epilog="\b\nExample:\n  os-image-composer doctor --self-test")(doctor)


def doctor(
    context: typer.Context,
    run_self_test: Annotated[
        bool, typer.Option("--self-test", help="Prove the sandbox by using it (half a minute).")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the checks as JSON.")] = False,
) -> None:
    """Say what this host lacks, and the command that mends it. Exit code 1 when something needed is missing."""
    settings = settings_of(global_options(context))
    from os_image_composer.cli.checks import check_lines, checks_json, passed

    checks = _examine(settings)
    if run_self_test and passed(checks):
        checks = (*checks, *_prove(settings))
    if as_json:
        print(json.dumps(checks_json(checks), indent=1))
    else:
        for line in check_lines(checks):
            print(line)
    if not passed(checks):
        raise typer.Exit(1)


def _examine(settings: Settings) -> tuple[Check, ...]:
    """Everything, in the order in which to mend. The store is tried only where programs can be isolated."""
    from os_image_composer.boot.doctor import examine_boot
    from os_image_composer.chroot.check import HostFacts
    from os_image_composer.chroot.doctor import examine_host
    from os_image_composer.chroot.doctor_store import examine_space, store_by_name, try_store
    from os_image_composer.chroot.ids import IdMap
    from os_image_composer.cli.checks import passed
    from os_image_composer.provider.image_tools import examine_tools

    host = HostFacts.of_this_process()
    checks = examine_host(host, settings.root_id_range)
    if passed(checks):
        store = try_store(host, settings.temp_dir, IdMap.for_caller(settings.root_id_range))
    else:
        store = store_by_name(host, settings.cache_dir)
    places = (("cache_dir", settings.cache_dir, _CACHE_BYTES), ("work_dir", settings.work_dir, _WORK_BYTES))
    return (*checks, store, *examine_space(places), examine_tools(settings), *examine_boot(host))


def _prove(settings: Settings) -> tuple[Check, ...]:
    """The sandbox's self-test in the folder of unfinished work, beside which its layers will be."""
    from os_image_composer.build.scratch import Scratch
    from os_image_composer.chroot.ids import IdMap
    from os_image_composer.chroot.sandbox import Sandbox
    from os_image_composer.chroot.self_test import self_test

    ids = IdMap.for_caller(settings.root_id_range)
    with Scratch(settings.temp_dir, Sandbox(ids, settings.temp_dir).remove).folder() as folder:
        return self_test(Sandbox(ids, folder), folder)

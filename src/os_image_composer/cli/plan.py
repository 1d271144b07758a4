"""`plan`: what would a build do?"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from os_image_composer.cli.options import global_options, settings_of

if TYPE_CHECKING:
    from os_image_composer.build.execute import Forecast


def register(app: typer.Typer) -> None:
    app.command(epilog="\b\nExample:\n  os-image-composer plan image-templates/debian13-x86_64-minimal-raw.yml")(plan)


def plan(
    context: typer.Context,
    template: Annotated[Path, typer.Argument(help="Image template (YAML).")],
    refresh: Annotated[bool, typer.Option("--refresh", help="Ask the mirror for newer packages.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole plan as JSON.")] = False,
) -> None:
    """Say which steps a build would run, which results it would reuse, and why. Builds nothing."""
    settings = settings_of(global_options(context))
    from os_image_composer.build.clock import SystemClock
    from os_image_composer.cli.progress import PlainLines
    from os_image_composer.config.load import load_image_spec

    clock = SystemClock()
    spec = load_image_spec(template, settings.config_dir)
    # After the template was read: what is wrong with it is said at once.
    from os_image_composer.provider.registry import provider_for
    from os_image_composer.provider.services import Services

    provider = provider_for(
        spec.target, Services(settings, clock, PlainLines(sys.stderr, clock, settings.logging.level))
    )
    provider.init()
    preparation = provider.pre_process(spec, refresh=refresh)
    forecast = provider.forecast(preparation)
    if as_json:
        value = preparation.plan.to_json()
        said = {f.name: {"verdict": f.verdict, "why": f.why} for f in forecast}
        for step in value["steps"]:
            step.update(said[step["name"]])
        print(json.dumps(value, indent=1, sort_keys=True))
    else:
        for line in plan_lines(forecast):
            print(line)


def plan_lines(forecast: Sequence[Forecast]) -> Iterator[str]:
    width = max((len(f.name) for f in forecast), default=4)
    yield f"{'step':<{width}}  {'id':<12}  build   why"
    for step in forecast:
        yield f"{step.name:<{width}}  {step.id[:12]}  {step.verdict:<6}  {step.why}"
    if any(step.verdict == "maybe" for step in forecast):
        yield ""
        yield "maybe: runs unless what it starts from comes out with the same content as before"

"""`plan`: what would a build do?"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from os_image_composer.cli.options import LOCKED, OFFLINE, global_options, lock_choice, settings_of
from os_image_composer.errors import UsageError

if TYPE_CHECKING:
    from os_image_composer.build.execute import Forecast
    from os_image_composer.config.settings import Settings
    from os_image_composer.provider.interface import Preparation

PLAN_VERSION = 1
EPILOG = """\b
Examples:
  os-image-composer plan my-image.yml
  os-image-composer plan --json my-image.yml
  os-image-composer plan --dot my-image.yml | dot -Tsvg > packages.svg
"""


def register(app: typer.Typer) -> None:
    app.command(epilog=EPILOG)(plan)


def plan(
    context: typer.Context,
    template: Annotated[Path, typer.Argument(help="Image template (YAML).")],
    refresh: Annotated[bool, typer.Option("--refresh", help="Ask the mirror for newer packages.")] = False,
    locked: Annotated[bool, typer.Option("--locked", help=LOCKED)] = False,
    offline: Annotated[bool, typer.Option("--offline", help=OFFLINE)] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole plan as JSON.")] = False,
    as_dot: Annotated[bool, typer.Option("--dot", help="Print the graph of the image's packages (Graphviz).")] = False,
) -> None:
    """Say which steps a build would run, which results it would reuse, and why. Builds nothing.

    The packages are those of TEMPLATE.lock, else of the lock of the last build, else of the mirror's signed metadata.
    """
    if as_json and as_dot:
        raise UsageError("wrong-usage", "--json and --dot exclude each other")
    settings = settings_of(global_options(context), offline=offline)
    choice = lock_choice(template, locked=locked, refresh=refresh)
    from os_image_composer.build.clock import SystemClock
    from os_image_composer.cli.listening import listening
    from os_image_composer.config.load import load_image_spec

    clock = SystemClock()
    spec = load_image_spec(template, settings.config_dir)
    # After the template was read: what is wrong with it is said at once.
    from os_image_composer.provider.registry import provider_for
    from os_image_composer.provider.services import Services

    with listening(settings, clock, plain=True) as listener:
        provider = provider_for(spec.target, Services(settings, clock, listener))
        provider.init()
        if as_dot:
            from os_image_composer.ospackage.family import family_for
            from os_image_composer.report.package_graph import package_graph

            lock = provider.locking.choose(spec, choice).lock
            names = family_for(provider.distribution.family).names
            lines = package_graph(spec.name, lock.sets["image"], spec.package_groups, names)
        else:
            preparation = provider.pre_process(spec, choice)
            forecast = provider.forecast(preparation)
            if as_json:
                fields = plan_fields(preparation, forecast) | {"imageTools": tools_fields(settings)}
                lines = iter((json.dumps(fields, indent=1, sort_keys=True),))
            else:
                lines = plan_lines(forecast, tools_fields(settings))
    for line in lines:
        print(line)


def tools_fields(settings: Settings) -> dict[str, str]:
    """Where the image tools come from."""
    source = settings.image_tools
    if isinstance(source, str):
        return {"source": source}
    return {"source": "archive", "archive": str(source.archive), "sha256": source.sha256}


def plan_lines(forecast: Sequence[Forecast], tools: Mapping[str, str]) -> Iterator[str]:
    width = max((len(f.name) for f in forecast), default=4)
    yield f"{'step':<{width}}  {'id':<12}  build   why"
    for step in forecast:
        yield f"{step.name:<{width}}  {step.id[:12]}  {step.verdict:<6}  {step.why}"
    if any(step.verdict == "maybe" for step in forecast):
        yield ""
        yield "maybe: runs unless what it starts from comes out with the same content as before"
    if "archive" in tools:
        yield ""
        yield f"image tools: from {tools['archive']}"


def plan_fields(preparation: Preparation, forecast: Sequence[Forecast]) -> dict[str, Any]:
    """`plan --json`: docs/explain.md tells the fields; they are only ever added. Options hold no secrets: passwords
    stand in them as digests of their hashes."""
    from os_image_composer.build.canonical import sha256_text
    from os_image_composer.ospackage.lock_text import dump_lock

    value = preparation.plan.to_json()
    said = {f.name: {"verdict": f.verdict, "why": f.why} for f in forecast}
    for step in value["steps"]:
        step.update(said[step["name"]])
    lock, target = preparation.lock, preparation.spec.target
    return {
        "planVersion": PLAN_VERSION,
        **value,
        "target": {"os": target.os, "dist": target.dist, "arch": target.arch, "imageType": target.image_type},
        "output": str(preparation.output),
        "lock": {
            "sha256": sha256_text(dump_lock(lock)),
            "sourceDateEpoch": lock.source_date_epoch,
            "repositories": [{"name": r.name, "url": r.url, "date": r.date} for r in lock.repositories],
            "packages": {name: sum(1 for _ in found.packages()) for name, found in lock.sets.items()},
        },
    }

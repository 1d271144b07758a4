"""`cache`: what earlier builds keep."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from os_image_composer.cli.options import global_options, settings_of

if TYPE_CHECKING:
    from os_image_composer.provider.clean import Area, Entry

cache = typer.Typer(
    help="What earlier builds keep: results of steps, packages, metadata, locks.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
EXAMPLES = """\b
Examples:
  os-image-composer cache du
  os-image-composer cache list
  os-image-composer cache clean --unused 30 --downloads
"""
_LIST = "\b\nExample:\n  os-image-composer cache list"
_DU = "\b\nExample:\n  os-image-composer cache du"
_CLEAN = """\b
Examples:
  os-image-composer cache clean --dry-run
  os-image-composer cache clean --unused 30 --downloads
"""


def register(app: typer.Typer) -> None:
    app.add_typer(cache, name="cache", epilog=EXAMPLES)


@cache.callback()
def _cache() -> None:
    pass


@cache.command("list", epilog=_LIST)
def list_(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print the list as JSON.")] = False,
) -> None:
    """List the results of steps: what they are, how large, when a build last used them."""
    settings = settings_of(global_options(context))
    from os_image_composer.provider.clean import list_results

    entries = list_results(settings)
    if as_json:
        rows = [
            {
                "key": e.kept.key,
                "step": e.kept.step,
                "kind": e.kept.kind.value,
                "size": e.size,
                "made": round(e.kept.made),
                "used": round(e.kept.used),
            }
            for e in entries
        ]
        print(json.dumps(rows, indent=1))
        return
    for line in entry_lines(entries):
        print(line)


@cache.command(epilog=_DU)
def du(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print the sizes as JSON, in bytes.")] = False,
) -> None:
    """Say how much room the parts of the cache take."""
    settings = settings_of(global_options(context))
    from os_image_composer.provider.clean import measure

    areas = measure(settings)
    if as_json:
        fields = {a.name: {"path": str(a.path), "count": a.count, "size": a.size} for a in areas}
        print(json.dumps(fields, indent=1))
        return
    for line in area_lines(areas):
        print(line)


@cache.command(epilog=_CLEAN)
def clean(
    context: typer.Context,
    downloads: Annotated[bool, typer.Option("--downloads", help="Packages and repository metadata, too.")] = False,
    unused: Annotated[
        int | None, typer.Option(min=0, metavar="DAYS", help="Only what no build has used for so many days.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
) -> None:
    """Remove the results of steps. Images and locks stay; `rm` alone cannot, because of who owns the files."""
    settings = settings_of(global_options(context))
    from os_image_composer.build.clock import SystemClock
    from os_image_composer.provider.clean import clean_cache

    cleaned = clean_cache(settings, downloads=downloads, unused=unused, now=SystemClock().now(), dry_run=dry_run)
    for path in cleaned.removed:
        print(f"{'would go' if dry_run else 'removed '}  {path}")
    for path in cleaned.kept:
        print(f"kept      {path}")


def entry_lines(entries: Sequence[Entry]) -> Iterator[str]:
    """One line a result. Of an image the store has the digest only, so it takes no room here."""
    width = max((len(e.kept.step) for e in entries), default=4)
    yield f"{'step':<{width}}  {'kind':<8}  {'size':>9}  {'last used':<16}  key"
    for entry in entries:
        used = datetime.fromtimestamp(entry.kept.used).astimezone()
        size = mib(entry.size) if entry.kept.content is not None else "-"
        kept = entry.kept
        yield f"{kept.step:<{width}}  {kept.kind.value:<8}  {size:>9}  {used:%Y-%m-%d %H:%M}  {kept.key[:12]}"


def area_lines(areas: Sequence[Area]) -> Iterator[str]:
    width = max((len(a.name) for a in areas), default=5)
    for area in areas:
        yield f"{area.name:<{width}}  {mib(area.size):>11}  {area.count:>6}  {area.holds}  {area.path}"
    yield f"{'total':<{width}}  {mib(sum(a.size for a in areas)):>11}"


def mib(size: int) -> str:
    return f"{size / (1 << 20):.1f} MiB"

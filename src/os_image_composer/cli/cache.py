"""`cache`: what earlier builds keep."""

from __future__ import annotations

from typing import Annotated

import typer

from os_image_composer.cli.options import global_options, settings_of

cache = typer.Typer(help="What earlier builds keep.", no_args_is_help=True, rich_markup_mode=None)


def register(app: typer.Typer) -> None:
    app.add_typer(cache, name="cache", epilog="\b\nExample:\n  os-image-composer cache clean --downloads")


@cache.callback()
def _cache() -> None:
    pass


@cache.command(epilog="\b\nExample:\n  os-image-composer cache clean --downloads")
def clean(
    context: typer.Context,
    downloads: Annotated[bool, typer.Option("--downloads", help="Packages and repository metadata, too.")] = False,
) -> None:
    """Remove the results of steps. Images and locks stay; `rm` alone cannot, because of who owns the files."""
    settings = settings_of(global_options(context))
    from os_image_composer.provider.clean import clean_cache

    cleaned = clean_cache(settings, downloads=downloads)
    for path in cleaned.removed:
        print(f"removed  {path}")
    for path in cleaned.kept:
        print(f"kept     {path}")

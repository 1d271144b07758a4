"""`fetch`: have everything here that a build needs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from os_image_composer.cli.options import LOCKED, global_options, lock_choice, settings_of

EPILOG = """\b
Example:
  os-image-composer fetch my-image.yml && os-image-composer build --offline my-image.yml
"""


def register(app: typer.Typer) -> None:
    app.command(epilog=EPILOG)(fetch)


def fetch(
    context: typer.Context,
    template: Annotated[Path, typer.Argument(help="Image template (YAML).")],
    locked: Annotated[bool, typer.Option("--locked", help=LOCKED)] = False,
    refresh: Annotated[bool, typer.Option("--refresh", help="Ask the mirror for newer packages.")] = False,
) -> None:
    """Bring every package that a template's lock names, and the keys that they are checked with, into the cache.

    Afterwards `build --offline` needs no network. The lock is TEMPLATE.lock, else that of the last build, else one from
    the mirror, which the next build takes.
    """
    settings = settings_of(global_options(context))
    from os_image_composer.build.clock import SystemClock
    from os_image_composer.cli.listening import listening
    from os_image_composer.config.load import load_image_spec
    from os_image_composer.provider.registry import provider_for
    from os_image_composer.provider.services import Services
    from os_image_composer.report.text import size

    clock = SystemClock()
    spec = load_image_spec(template, settings.config_dir)
    with listening(settings, clock) as listener:
        provider = provider_for(spec.target, Services(settings, clock, listener))
        provider.init()
        lock = provider.locking.fetch(spec, lock_choice(template, locked=locked, refresh=refresh))
    packages = {p.sha256: p.size for found in lock.sets.values() for p in found.packages()}
    print(f"{len(packages)} packages, {size(sum(packages.values()))}, in {settings.cache_dir / 'packages'}")

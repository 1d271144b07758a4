"""`bundle`: a build's packages and keys in one file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from os_image_composer.cli.options import LOCKED, global_options, lock_choice, settings_of

EPILOG = """\b
Example:
  os-image-composer bundle my-image.yml my-image.bundle
  os-image-composer build --bundle my-image.bundle my-image.yml     (elsewhere, without a network)
"""


def register(app: typer.Typer) -> None:
    app.command(epilog=EPILOG)(bundle)


def bundle(
    context: typer.Context,
    template: Annotated[Path, typer.Argument(help="Image template (YAML).")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write; never overwritten.")],
    locked: Annotated[bool, typer.Option("--locked", help=LOCKED)] = False,
) -> None:
    """Write lock, packages, keys and image tools of a template to one file, for a build across an air gap.

    Carry it over with the template and the files that this names; there `build --bundle FILE` opens no connection.
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
        count = provider.locking.bundle(file.absolute(), spec, lock_choice(template, locked=locked))
    print(f"{file}: {count} packages, {size(file.stat().st_size)}")

"""`env`: the environments that a build works with beside the image."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from os_image_composer.cli.options import global_options, lock_choice, settings_of

if TYPE_CHECKING:
    from os_image_composer.ospackage.tools_archive import ToolsArchive

env = typer.Typer(
    help="The image tools: the programs that write images, as one file that can be moved.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
EXAMPLES = """\b
Examples:
  os-image-composer env export image-tools.tar
  os-image-composer env export image-tools.tar my-image.yml
"""
_PLAIN = re.compile(r"[A-Za-z0-9/_.+-]+")  # a path that YAML reads as it stands


def register(app: typer.Typer) -> None:
    app.add_typer(env, name="env", epilog=EXAMPLES)


@env.callback()
def _env() -> None:
    pass


@env.command(epilog=EXAMPLES)
def export(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write; never overwritten.")],
    template: Annotated[
        Path | None, typer.Argument(metavar="[TEMPLATE]", help="Take the packages that this template's lock names.")
    ] = None,
    refresh: Annotated[
        bool, typer.Option("--refresh", help="With TEMPLATE: ask the mirror for newer packages.")
    ] = False,
) -> None:
    """Write the packages of the image tools to one file, and print the settings with which it is used.

    Without a template they are the newest that the mirror has. What is printed is YAML for the settings file.
    """
    settings = settings_of(global_options(context))
    from os_image_composer.build.clock import SystemClock
    from os_image_composer.cli.listening import listening
    from os_image_composer.config.load import load_image_spec
    from os_image_composer.provider.image_tools import tools_target
    from os_image_composer.provider.lock_choice import ANY_LOCK
    from os_image_composer.provider.registry import provider_for
    from os_image_composer.provider.services import Services

    clock = SystemClock()
    spec = load_image_spec(template, settings.config_dir) if template else None
    with listening(settings, clock, plain=True) as listener:
        provider = provider_for(spec.target if spec else tools_target(settings), Services(settings, clock, listener))
        provider.init()
        choice = lock_choice(template, refresh=refresh) if template else ANY_LOCK
        archive = provider.locking.export_tools(file.absolute(), spec, choice)
    for line in settings_lines(archive):
        print(line)


def settings_lines(archive: ToolsArchive) -> Iterator[str]:
    """What to put into a settings file, and above it what it is."""
    index, path = archive.index, str(archive.path)
    mebibytes = sum(package.size for package in index.packages) / (1 << 20)
    yield f"# image tools: {len(index.packages)} packages of {index.dist} for {index.arch}, {mebibytes:.1f} MiB"
    yield "image_tools:"
    yield f"  archive: {path if _PLAIN.fullmatch(path) else json.dumps(path)}"
    # A digest can be all digits, which YAML takes for a number.
    yield f"  sha256: {archive.sha256 if re.search('[a-df]', archive.sha256) else json.dumps(archive.sha256)}"

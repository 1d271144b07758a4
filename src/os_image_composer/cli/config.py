"""`config`: the settings of this user on this machine."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from os_image_composer.cli.options import global_options, own_settings_path, settings_of
from os_image_composer.errors import UsageError

if TYPE_CHECKING:
    from os_image_composer.config.settings import Settings

config = typer.Typer(
    help="The settings: where they come from, and a file to begin with.", no_args_is_help=True, rich_markup_mode=None
)
EXAMPLES = "\b\nExamples:\n  os-image-composer config show\n  os-image-composer config init\n"
_SHOW = "\b\nExample:\n  os-image-composer --log-level debug config show"
_INIT = "\b\nExamples:\n  os-image-composer config init\n  os-image-composer config init ./composer.yml"


def register(app: typer.Typer) -> None:
    app.add_typer(config, name="config", epilog=EXAMPLES)


@config.callback()
def _config() -> None:
    pass


@config.command(epilog=_SHOW)
def show(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print the settings as JSON.")] = False,
) -> None:
    """Print the settings that count and where each came from: a flag, a line of the file, a variable, or built in.

    Settings hold no secrets: credentials stand in a file of their own, of which only the path is shown.
    """
    settings = settings_of(global_options(context))
    rows = tuple(setting_rows(settings))
    if as_json:
        print(json.dumps({key: {"value": value, "from": source} for key, value, source in rows}, indent=1))
        return
    print(f"settings file  {settings.file or 'none'}")
    width = max(len(key) for key, _, _ in rows)
    for key, value, source in rows:
        print(f"{key:<{width}}  {_words(value)}  ({source})")


@config.command(epilog=_INIT)
def init(
    context: typer.Context,
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="Where to write; your own settings file otherwise.")
    ] = None,
) -> None:
    """Write a settings file in which every key is explained and commented out. Never overwrites one."""
    from os_image_composer.config.settings_example import EXAMPLE

    path = file.absolute() if file else own_settings_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("x", encoding="utf-8") as stream:
            stream.write(EXAMPLE)
    except FileExistsError:
        raise UsageError(
            "file-exists", f"{path} is there already", hint="remove it first, or give another name"
        ) from None
    print(path)


def setting_rows(settings: Settings) -> Iterator[tuple[str, Any, str]]:
    """Key, plain value and source of every setting."""
    for key, source in sorted(settings.sources.items()):
        value: object = settings
        for part in key.split("."):
            value = getattr(value, part, None)
        yield key, _plain(value), source


def _plain(value: object) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, bool | int | str) else str(value)


def _words(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value) if value not in (None, {}, []) else "-"

"""`build`: one template in, one image out."""

from __future__ import annotations

import contextlib
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from os_image_composer.cli.options import global_options, settings_of
from os_image_composer.cli.summary import shown
from os_image_composer.errors import ComposerError

if TYPE_CHECKING:
    from os_image_composer.build.clock import Clock
    from os_image_composer.build.events import Listener
    from os_image_composer.cli.progress import JsonLines
    from os_image_composer.config.settings import Settings
    from os_image_composer.provider.interface import Published


def register(app: typer.Typer) -> None:
    app.command(epilog="\b\nExample:\n  os-image-composer build image-templates/debian13-x86_64-minimal-raw.yml")(build)


def build(
    context: typer.Context,
    template: Annotated[Path, typer.Argument(help="Image template (YAML).")],
    output: Annotated[Path | None, typer.Option(metavar="DIR", help="Where the image goes.")] = None,
    refresh: Annotated[bool, typer.Option("--refresh", help="Ask the mirror for newer packages.")] = False,
    json_events: Annotated[
        bool, typer.Option("--json-events", help="Print events as JSON lines on standard output.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the image's path and nothing else.")] = False,
) -> None:
    """Build the image that a template describes."""
    settings = settings_of(global_options(context))
    from os_image_composer.build.clock import SystemClock
    from os_image_composer.cli.progress import JsonLines
    from os_image_composer.config.load import load_image_spec

    clock = SystemClock()
    json_lines = JsonLines(sys.stdout, clock) if json_events else None
    try:
        spec = load_image_spec(template, settings.config_dir)
        # After the template was read: what is wrong with it is said at once.
        from os_image_composer.provider.registry import provider_for
        from os_image_composer.provider.services import Services

        with listening(settings, clock, json_lines, quiet) as listener:
            provider = provider_for(spec.target, Services(settings, clock, listener))
            provider.init()
            preparation = provider.pre_process(spec, refresh=refresh, output=output and output.absolute())
            published = provider.build_image(preparation)
    except ComposerError as error:
        if json_lines is not None:
            json_lines.say("error", _error_fields(error))
        raise
    _tell(published, json_lines, quiet)


def _tell(published: Published, json_lines: JsonLines | None, quiet: bool) -> None:
    from os_image_composer.cli.summary import result_fields, summary_lines

    if json_lines is not None:
        json_lines.say("result", result_fields(published))
    elif quiet:
        print(published.image)
    else:
        for line in summary_lines(published, program_words()):
            print(line)


def program_words() -> str:
    """How this program can be called again: by its name where the shell finds it, else by its path."""
    name = "os-image-composer"
    called = Path(sys.argv[0]).absolute()
    found = shutil.which(name)
    return name if called.name != name or (found and Path(found).samefile(called)) else str(shown(called))


@contextlib.contextmanager
def listening(
    settings: Settings, clock: Clock, json_lines: JsonLines | None = None, quiet: bool = False
) -> Iterator[Listener]:
    """The listeners that flags and settings ask for: JSON, a live display or plain lines, and the log file."""
    from os_image_composer.cli.progress import PlainLines, Several

    with contextlib.ExitStack() as stack:
        listeners: list[Listener] = []
        if settings.logging.file is not None:
            settings.logging.file.parent.mkdir(parents=True, exist_ok=True)
            log = stack.enter_context(settings.logging.file.open("a", encoding="utf-8"))
            listeners.append(PlainLines(log, clock, settings.logging.level))
        if json_lines is not None:
            listeners.append(json_lines)
        elif quiet:
            listeners.append(PlainLines(sys.stderr, clock, "warning"))
        elif sys.stderr.isatty() and settings.logging.level in ("debug", "info"):
            from rich.console import Console

            from os_image_composer.cli.live import LiveDisplay

            display = LiveDisplay(Console(stderr=True), clock, settings.logging.level == "debug")
            listeners.append(stack.enter_context(display.shown()))
        else:
            listeners.append(PlainLines(sys.stderr, clock, settings.logging.level))
        yield Several(listeners)


def _error_fields(error: ComposerError) -> dict[str, object]:
    return {
        "reference": error.reference,
        "message": error.message,
        "cause": error.cause,
        "hint": error.hint,
        "detail": list(error.detail),
        "findings": [
            {
                "reference": f.reference,
                "message": f.message,
                "file": f.origin.file if f.origin else None,
                "line": f.origin.line if f.origin else None,
                "column": f.origin.column if f.origin else None,
                "hint": f.hint,
            }
            for f in error.findings
        ],
    }

"""Who hears what a build tells: the terminal, standard output as JSON, the log file."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from os_image_composer import __version__

if TYPE_CHECKING:
    from os_image_composer.build.clock import Clock
    from os_image_composer.build.events import Listener
    from os_image_composer.cli.progress import JsonLines
    from os_image_composer.config.settings import Settings

_CREDENTIALS = re.compile(r"//[^/@\s]*@")


@contextlib.contextmanager
def listening(
    settings: Settings,
    clock: Clock,
    json_lines: JsonLines | None = None,
    quiet: bool = False,
    plain: bool = False,
) -> Iterator[Listener]:
    """The listeners that flags and settings ask for: JSON, a live display or plain lines, and the log file."""
    from os_image_composer.build.events import Note
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
        elif not plain and sys.stderr.isatty() and settings.logging.level in ("debug", "info"):
            from rich.console import Console

            from os_image_composer.cli.live import LiveDisplay

            display = LiveDisplay(Console(stderr=True), clock, settings.logging.level == "debug")
            listeners.append(stack.enter_context(display.shown()))
        else:
            listeners.append(PlainLines(sys.stderr, clock, settings.logging.level))
        listener = Several(listeners)
        for line in _circumstances(settings):
            listener(Note("debug", line))
        yield listener


def _circumstances(settings: Settings) -> Iterator[str]:
    """What a reader of a log asks first: which program, called how, with which settings from where. Settings hold no
    secrets; a URL that somebody wrote a password into is refused, and not shown."""
    words = _CREDENTIALS.sub("//(hidden)@", " ".join(sys.argv[1:]))
    yield f"os-image-composer {__version__}, Python {sys.version.split()[0]}, called with: {words}"
    yield f"settings from {settings.file or 'no file'}"
    for key, source in sorted(settings.sources.items()):
        value: object = settings
        for part in key.split("."):
            value = getattr(value, part, None)
        yield f"setting {key}: {value} ({source})"

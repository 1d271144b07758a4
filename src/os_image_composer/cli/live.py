"""The live display of a build on a terminal: what has ended stands still above, what runs moves below."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Console, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from os_image_composer.build.clock import Clock
from os_image_composer.build.events import (
    Event,
    Note,
    Output,
    PhaseFinished,
    PhaseStarted,
    StepFinished,
    StepStarted,
    Transferred,
)

_MARKS = {"ran": "[green]✓[/]", "reused": "[cyan]=[/]", "failed": "[red]✗[/]"}


@dataclass
class _Running:
    since: float
    words: str
    spinner: Spinner


class LiveDisplay:
    """A listener and what `rich.live` draws. Use it as a context manager."""

    def __init__(self, console: Console, clock: Clock, verbose: bool = False) -> None:
        self._console = console
        self._clock = clock
        self._verbose = verbose
        self._running: dict[str, _Running] = {}
        self._transfers: dict[str, Transferred] = {}
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def shown(self) -> Iterator[LiveDisplay]:
        with Live(self, console=self._console, refresh_per_second=8, transient=True):
            yield self

    def __call__(self, event: Event) -> None:
        match event:
            case PhaseStarted(phase):
                self._start(phase, "")
            case StepStarted(step, why):
                self._start(step, why)
            case PhaseFinished(phase, seconds, detail):
                self._end(phase)
                self._finished("ran", phase, seconds, detail)
            case StepFinished(step, outcome, seconds, detail):
                running = self._end(step)
                why = detail or (running.words if running else "")
                self._finished(outcome, step, seconds, why)
            case Transferred(what, received, total, _):
                with self._lock:
                    self._transfers[what] = event
                    if received >= total:
                        del self._transfers[what]
            case Output(step, line):
                if self._verbose:
                    self._console.print(f"  [dim]{escape(step)}| {escape(line)}[/]", highlight=False)
            case Note(level, message):
                colour = "yellow" if level == "warning" else "dim"
                self._console.print(f"  [{colour}]{escape(message)}[/]", highlight=False)

    def _start(self, name: str, words: str) -> None:
        with self._lock:
            self._running[name] = _Running(self._clock.elapsed(), words, Spinner("dots"))

    def _end(self, name: str) -> _Running | None:
        with self._lock:
            return self._running.pop(name, None)

    def _finished(self, outcome: str, name: str, seconds: float, words: str) -> None:
        mark = _MARKS.get(outcome, " ")
        took = f"{seconds:7.1f} s" if outcome != "reused" else " " * 9
        self._console.print(
            f"  {mark} {escape(name):<24} {outcome:<7}{took}  [dim]{escape(words)}[/]",
            highlight=False,
            overflow="ellipsis",
            no_wrap=True,
        )

    def __rich__(self) -> RenderableType:
        table = Table.grid(padding=(0, 1))
        with self._lock:
            for name, running in self._running.items():
                took = self._clock.elapsed() - running.since
                words = Text(running.words, style="dim", overflow="ellipsis", no_wrap=True)
                table.add_row(" ", running.spinner, Text(f"{name:<24} {took:13.1f} s "), words)
            for name, transfer in self._transfers.items():
                part = f"{transfer.received / 1e6:.1f} of {transfer.total / 1e6:.1f} MB in {transfer.files} files"
                table.add_row(" ", "↓", Text(f"{name:<24}"), Text(part))
        return table

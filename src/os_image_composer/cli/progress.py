"""How a running build looks: lines, a live display, or JSON. Each is a listener of `build.events`.

JSON lines (`build --json-events`): one object a line on standard output, `event` and `time` (seconds since the
epoch) always there. Fields are only ever added.

    {"event": "phase-started", "phase": …}
    {"event": "phase-finished", "phase": …, "seconds": …, "detail": …}
    {"event": "step-started", "step": …, "why": …}
    {"event": "step-finished", "step": …, "outcome": "ran" | "reused" | "failed", "seconds": …, "detail": …}
    {"event": "transferred", "what": …, "received": …, "total": …, "files": …}      bytes
    {"event": "output", "step": …, "line": …}
    {"event": "note", "level": "info" | "warning", "message": …}
    {"event": "result", "image": …, "manifest": …, "size": …, "sha256": …, "packages": …, "seconds": …}
    {"event": "error", "reference": …, "message": …, "cause": …, "hint": …}
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import TextIO

from os_image_composer.build.clock import Clock
from os_image_composer.build.events import (
    Event,
    Listener,
    Note,
    Output,
    PhaseFinished,
    PhaseStarted,
    StepFinished,
    StepStarted,
    Transferred,
)

EVENT_NAMES: Mapping[type, str] = {
    PhaseStarted: "phase-started",
    PhaseFinished: "phase-finished",
    StepStarted: "step-started",
    StepFinished: "step-finished",
    Transferred: "transferred",
    Output: "output",
    Note: "note",
}
_LEVELS = ("debug", "info", "warning", "error")


class Several:
    """Tells several listeners."""

    def __init__(self, listeners: Sequence[Listener]) -> None:
        self._listeners = tuple(listeners)

    def __call__(self, event: Event) -> None:
        for listener in self._listeners:
            listener(event)


class JsonLines:
    """Events as JSON, one object a line."""

    def __init__(self, stream: TextIO, clock: Clock) -> None:
        self._stream = stream
        self._clock = clock
        self._lock = threading.Lock()

    def __call__(self, event: Event) -> None:
        self.say(EVENT_NAMES[type(event)], asdict(event))

    def say(self, name: str, fields: Mapping[str, object]) -> None:
        """Any object of the list above."""
        line = json.dumps({"event": name, "time": round(self._clock.now(), 3), **fields})
        with self._lock:
            print(line, file=self._stream, flush=True)


class PlainLines:
    """Events as lines with the time of day, for logs and pipes. `level` is the least that is shown; at `debug`
    the output of programs is, too."""

    def __init__(self, stream: TextIO, clock: Clock, level: str = "info") -> None:
        self._stream = stream
        self._clock = clock
        self._least = _LEVELS.index(level)
        self._lock = threading.Lock()

    def __call__(self, event: Event) -> None:
        level, text = line_of(event)
        if text and _LEVELS.index(level) >= self._least:
            now = datetime.fromtimestamp(self._clock.now()).astimezone()
            with self._lock:
                print(f"{now:%Y-%m-%d %H:%M:%S} {text}", file=self._stream, flush=True)


def line_of(event: Event) -> tuple[str, str]:
    """The level of an event and the words for it; no words for what only a live display needs."""
    match event:
        case PhaseStarted(phase):
            return "info", f"{phase}: started"
        case PhaseFinished(phase, seconds, detail):
            return "info", f"{phase}: done in {seconds:.1f} s" + (f" ({detail})" if detail else "")
        case StepStarted(step, why):
            return "info", f"step {step}: runs, {why}"
        case StepFinished(step, "reused", _, detail):
            return "info", f"step {step}: reused" + (f", {detail}" if detail else "")
        case StepFinished(step, outcome, seconds, _):
            return ("error" if outcome == "failed" else "info"), f"step {step}: {outcome} in {seconds:.1f} s"
        case Transferred(what, received, total, files):
            done = received >= total
            return "info", f"{what}: {files} files, {total / 1e6:.1f} MB" if done else ""
        case Output(step, line):
            return "debug", f"step {step}| {line}"
        case Note(level, message):
            return level, message if level == "info" else f"{level}: {message}"

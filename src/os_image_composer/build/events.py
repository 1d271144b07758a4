"""What a build tells while it runs. The engine knows listeners, never terminals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class PhaseStarted:
    """Work outside the plan begins, such as reading repository metadata."""

    phase: str


@dataclass(frozen=True)
class PhaseFinished:
    phase: str
    seconds: float
    detail: str = ""


@dataclass(frozen=True)
class StepStarted:
    step: str
    why: str  # why it was not reused


@dataclass(frozen=True)
class StepFinished:
    step: str
    outcome: str  # ran | reused | failed
    seconds: float
    detail: str = ""


@dataclass(frozen=True)
class Transferred:
    """Bytes received so far of a download of `total` bytes in `files` files."""

    what: str
    received: int
    total: int
    files: int


@dataclass(frozen=True)
class Output:
    """A line that a program of a step printed."""

    step: str
    line: str


@dataclass(frozen=True)
class Note:
    """Something that a reader of the log should know, at level `info` or `warning`."""

    level: str
    message: str


Event = PhaseStarted | PhaseFinished | StepStarted | StepFinished | Transferred | Output | Note


class Listener(Protocol):
    """Called from any thread; an implementation locks for itself."""

    def __call__(self, event: Event) -> None: ...


def silent(event: Event) -> None:
    """The listener that hears nothing."""

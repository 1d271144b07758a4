"""What a run of the command said, read from its JSON events."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Told:
    """Steps by outcome in the order in which they ended, the reasons of those that ran, and the result."""

    ran: tuple[str, ...]
    reused: tuple[str, ...]
    why: dict[str, str]
    warnings: tuple[str, ...]
    sha256: str
    seconds: float


def told(done: subprocess.CompletedProcess[str]) -> Told:
    """Of `build --json-events` that ended well."""
    assert done.returncode == 0, done.stdout + done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    return _told(events)


def _told(events: Iterable[dict[str, object]]) -> Told:
    ran, reused, why, warnings = [], [], {}, []
    sha256, seconds = "", 0.0
    for event in events:
        match event:
            case {"event": "step-started", "step": str(step), "why": str(reason)}:
                why[step] = reason
            case {"event": "step-finished", "step": str(step), "outcome": "ran"}:
                ran.append(step)
            case {"event": "step-finished", "step": str(step), "outcome": "reused"}:
                reused.append(step)
            case {"event": "note", "level": "warning", "message": str(message)}:
                warnings.append(message)
            case {"event": "result", "sha256": str(digest), "seconds": float() | int() as taken}:
                sha256, seconds = digest, float(taken)
    return Told(tuple(ran), tuple(reused), why, tuple(warnings), sha256, seconds)

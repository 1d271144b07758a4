"""The one door to the time of day and to elapsed time."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Span:
    """A stretch of time, seconds since the epoch."""

    start: float
    end: float


class Clock(Protocol):
    def now(self) -> float:
        """Seconds since the epoch."""

    def elapsed(self) -> float:
        """Seconds on a clock that never goes back."""


class SystemClock:
    def now(self) -> float:
        return time.time()

    def elapsed(self) -> float:
        return time.monotonic()


class FixedClock:
    """For tests: stands still until it is moved."""

    def __init__(self, now: float = 0.0) -> None:
        self.value = now

    def now(self) -> float:
        return self.value

    def elapsed(self) -> float:
        return self.value

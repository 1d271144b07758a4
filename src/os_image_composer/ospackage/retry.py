"""Trying again what a network failed at."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from os_image_composer.build.events import Listener, Note
from os_image_composer.ospackage.transport import TransientFetchError

ATTEMPTS = 5
FIRST_PAUSE = 0.5  # seconds; doubled at each further attempt

T = TypeVar("T")


def retried(
    once: Callable[[], T],
    what: str,
    listener: Listener,
    pause: Callable[[float], None] = time.sleep,
    stopped: Callable[[], bool] = lambda: False,
) -> T:
    """What `once` gives; a TransientFetchError is raised only after the last of five attempts."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return once()
        except TransientFetchError as error:
            if attempt == ATTEMPTS or stopped():
                raise
            listener(Note("info", f"{what}: {error.cause}; trying again"))
            pause(FIRST_PAUSE * 2 ** (attempt - 1))
    raise AssertionError("unreachable")

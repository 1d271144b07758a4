"""Trying again what a network failed at, and asking the next mirror where one does not give what was signed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from os_image_composer.build.events import Listener, Note
from os_image_composer.errors import ComposerError, FetchError, MetadataError, TrustError
from os_image_composer.ospackage.transport import TransientFetchError

ATTEMPTS = 5
ATTEMPTS_WITH_ANOTHER = 2  # where there is another mirror to go to
FIRST_PAUSE = 0.5  # seconds; doubled at each further attempt

T = TypeVar("T")


def retried(
    once: Callable[[], T],
    what: str,
    listener: Listener,
    pause: Callable[[float], None] = time.sleep,
    stopped: Callable[[], bool] = lambda: False,
    attempts: int = ATTEMPTS,
) -> T:
    """What `once` gives; a TransientFetchError is raised only after the last attempt."""
    for attempt in range(1, attempts + 1):
        try:
            return once()
        except TransientFetchError as error:
            if attempt == attempts or stopped():
                raise
            # Once for a reader; the repetitions are for who looks for them.
            listener(Note("info" if attempt == 1 else "debug", f"{what}: {error.cause}; trying again"))
            pause(FIRST_PAUSE * 2 ** (attempt - 1))
    raise AssertionError("unreachable")


def first_that_works(
    urls: Sequence[str],
    ask: Callable[[str, int], T],
    what: str,
    listener: Listener,
    passed_over: Callable[[str, ComposerError], None] = lambda _url, _error: None,
    stopped: Callable[[], bool] = lambda: False,
) -> T:
    """What `ask` (given a URL and how often to try) gives for the first URL that is reached, has it, and has it as
    it was signed; `passed_over` hears of the others. Raises what the first one failed with, and tells the rest."""
    if not urls:
        raise FetchError(
            "offline",
            f"{what} is not here, and no mirror of it is known",
            cause="--offline opens no connection",
            hint="bring what is needed while there is a network: os-image-composer fetch TEMPLATE, or a bundle",
        )
    failed: list[tuple[str, ComposerError]] = []
    for number, url in enumerate(urls, 1):
        last = number == len(urls)
        try:
            return ask(url, ATTEMPTS if last else ATTEMPTS_WITH_ANOTHER)
        except (FetchError, TrustError, MetadataError) as error:
            failed.append((url, error))
            if last or stopped():
                break
            passed_over(url, error)
            listener(Note("warning", f"{what}: {error.message}; the next mirror is asked, {urls[number]}"))
    first = failed[0][1]
    first.detail += tuple(f"{url}: {error.message}: {error.cause or error.reference}" for url, error in failed[1:])
    raise first

"""Boot an image with the guest's console on this terminal."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import termios
import tty
from collections.abc import Iterator
from pathlib import Path

from os_image_composer.boot.machine import Machine
from os_image_composer.boot.qemu import run_guest
from os_image_composer.build.clock import Clock
from os_image_composer.errors import UsageError

LEAVE = b"\x1d"  # Ctrl-], as in telnet and virsh: Ctrl-C is for the guest


def run_in_terminal(image: Path, clock: Clock, machine: Machine) -> None:
    """Boot `image` (it is not changed) until the guest switches itself off or the user types Ctrl-].
    Raises UsageError without a terminal."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("no-terminal", "an interactive boot needs a terminal", hint="give --check, which needs none")
    keys, screen = sys.stdin.fileno(), sys.stdout.fileno()
    with run_guest(image, machine, clock) as guest, _raw(keys):
        while not guest.console.closed:
            ready, _, _ = select.select([guest.console, keys], [], [])
            if guest.console in ready:
                os.write(screen, guest.console.read())
            if keys in ready:
                typed = os.read(keys, 1024)
                if not typed or LEAVE in typed:
                    return
                guest.console.send(typed.decode("utf-8", "surrogateescape"))


@contextlib.contextmanager
def _raw(keys: int) -> Iterator[None]:
    before = termios.tcgetattr(keys)
    tty.setraw(keys)
    try:
        yield
    finally:
        termios.tcsetattr(keys, termios.TCSADRAIN, before)

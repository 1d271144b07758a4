"""A unit that an image brings itself and that answers questions on the second serial port, for systems whose systemd
takes none from outside. The answers have the form of the product's own report."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from os_image_composer.boot.machine import Machine
from os_image_composer.boot.qemu import Guest, run_guest
from os_image_composer.boot.report import Answer, Probe, read_answer
from os_image_composer.build.clock import SystemClock

PORT = "/dev/ttyS1"
END = "end"

UNIT = """\
[Unit]
Description=Say on the second serial port what this system is
[Service]
Type=simple
ExecStart={program}
StandardOutput=null
[Install]
WantedBy=multi-user.target
"""

# Asked before there is a login prompt, so that who waits for the prompt has heard all of it.
EARLY_UNIT = """\
[Unit]
Description=Say on the second serial port what this system is, before anybody can log in
Before=serial-getty@ttyS0.service
[Service]
Type=oneshot
ExecStart={program}
StandardOutput=null
[Install]
WantedBy=multi-user.target
"""
# No other job runs: those that are left wait for the unit that asks, whose name this takes.
OTHERS_DONE = "while systemctl list-jobs --no-legend | grep -vw {unit} | grep -qw running; do sleep 1; done"


def asking_script(probes: Sequence[Probe]) -> str:
    """Asks each in a shell of its own. The port stays open: to open it anew throws away what was not sent yet."""
    lines = [
        "#!/bin/sh",
        f"exec 3>{PORT}",
        r"""say() { printf '\n{"report":"%s","status":%d,"output":"%s"}\n' "$@" >&3; }""",
        'ask() { out=$(sh -c "$2" 2>&1 </dev/null 3>&-); rc=$?; say "$1" $rc "$(printf %s "$out" | base64 -w0)"; }',
        *("ask {} '{}'".format(probe.name, probe.command.replace("'", "'\\''")) for probe in probes),
    ]
    return "\n".join(lines) + "\n"


def report_script(probes: Sequence[Probe]) -> str:
    """The same, and then it powers the machine off."""
    lines = [
        # Twice: a port that is closed can lose its last characters, and the next line's first one ends the line before.
        *[f"say {END} 0 ''"] * 2,
        "systemctl --no-block poweroff",
    ]
    return asking_script(probes) + "\n".join(lines) + "\n"


def started(image: Path) -> AbstractContextManager[Guest]:
    """The image as it is; nothing that the guest writes stays."""
    return run_guest(image, Machine(), SystemClock())


def hear(
    image: Path, seconds: float, start: Callable[[Path], AbstractContextManager[Guest]] = started
) -> dict[str, Answer]:
    """Boot `image` and hear it out, until its unit has said all, or for so many seconds: the answers by name."""
    clock, answers = SystemClock(), dict[str, Answer]()
    with start(image) as guest:
        end, on = clock.elapsed() + seconds, True
        while END not in answers and on and clock.elapsed() < end:
            on = guest.status() is None  # looked at first: what it said last is read after it has gone
            guest.console.pump()
            for line in guest.report.pump():
                answer = read_answer(line)
                if answer is not None:
                    answers[answer.name] = answer
            time.sleep(0.5)
        console = guest.console.lines
    assert END in answers, "\n".join(["the system did not say all of it", *answers, *console[-40:]])
    return answers

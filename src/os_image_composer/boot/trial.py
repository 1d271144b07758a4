"""Boot an image once and watch it until it is known how that went."""

from __future__ import annotations

import select
from collections.abc import Callable
from pathlib import Path

from os_image_composer.boot.machine import Machine
from os_image_composer.boot.qemu import Guest, run_guest
from os_image_composer.boot.report import BEGIN, END, Answer, Probe, read_answer, report_credentials
from os_image_composer.boot.verdict import BootVerdict, Evidence, at_prompt, dead_end, judge
from os_image_composer.build.clock import Clock
from os_image_composer.errors import BootError

# After a login prompt of a guest that did not announce a report: time for units that fail late. It is long
# because TCG is slow.
SETTLE = 15.0
# From the report to the end of the machine.
POWER_OFF = 60.0
# After the console said that nothing will come: time for the last lines and for a report of emergency mode.
LAST_WORDS = 5.0
# Of a line that ended the boot, in characters.
_SAID = 200


def boot_image(
    image: Path,
    clock: Clock,
    *,
    machine: Machine | None = None,
    limit: float = 300.0,
    probes: tuple[Probe, ...] = (),
    heard: Callable[[str], None] | None = None,
    scratch: Path | None = None,
) -> BootVerdict:
    """Boot `image` (it is not changed) and say how it went, after at most `limit` seconds and a power-off.
    `probes` are asked when the guest reports about itself; `heard` is called with every line of the console.
    Raises BootError when QEMU cannot be started; a boot that goes wrong is a verdict, no error."""
    with run_guest(image, machine or Machine(), clock, report_credentials(probes), heard, scratch) as guest:
        watch = _Watch(guest, clock, limit, machine is not None and machine.secure_boot is not None)
        evidence = watch.until_known()
        status = guest.status()
        if status and not evidence.console:
            raise BootError(
                "boot-qemu-failed",
                f"QEMU ended at once with status {status}",
                detail=guest.complaint(),
            )
    return judge(evidence)


class _Watch:
    """Looks at both ports until the verdict can be given."""

    def __init__(self, guest: Guest, clock: Clock, limit: float, secure_boot: bool = False) -> None:
        self._secure_boot = secure_boot
        self._guest = guest
        self._clock = clock
        self._start = clock.elapsed()
        self._deadline = self._start + limit
        self._limit = limit
        self._answers: list[Answer] = []
        self._prompt: float | None = None
        self._known: float | None = None
        self._dead = False
        self._ended_by = f"not within {limit:g} s"

    def until_known(self) -> Evidence:
        while not self._finished():
            self._wait(1.0)
        powered_off = self._await_power_off()
        return Evidence(
            console=self._guest.console.lines,
            answers=tuple(self._answers),
            seconds=(self._known or self._prompt or self._clock.elapsed()) - self._start,
            powered_off=powered_off,
            ended_by=self._ended_by,
            prompted=self._prompt is not None,
            secure_boot=self._secure_boot,
        )

    def _finished(self) -> bool:
        now = self._clock.elapsed()
        if self._heard(END):
            self._known = now
            return True
        if self._guest.status() is not None:
            self._wait(0.0)
            if self._heard(END):
                self._known = now
            else:
                self._ended_by = "the machine stopped or restarted"
            return True
        self._notice(self._guest.console.rest)
        if self._prompt is None and at_prompt(self._guest.console.rest):
            self._prompt = now
        settled = self._prompt is not None and now - self._prompt >= SETTLE
        # A guest that has announced its report is given all the time there is.
        return now >= self._deadline or (settled and not self._heard(BEGIN))

    def _heard(self, name: str) -> bool:
        return any(a.name == name for a in self._answers)

    def _wait(self, seconds: float) -> None:
        ports = [p for p in (self._guest.console, self._guest.report) if not p.closed]
        select.select(ports, [], [], min(seconds, max(self._deadline - self._clock.elapsed(), 0.0)))
        for line in self._guest.console.pump():
            self._notice(line)
        for line in self._guest.report.pump():
            answer = read_answer(line)
            if answer is not None:
                self._answers.append(answer)

    def _notice(self, line: str) -> None:
        words = dead_end(line)
        if words is not None and not self._dead:  # what follows, such as nothing left to boot, follows from it
            self._dead = True
            # Without the frame of a box, whose characters are no UTF-8.
            said = " ".join(line.replace("\ufffd", " ").split())
            self._ended_by = f"{words} ({said[:_SAID]})"
            self._deadline = min(self._deadline, self._clock.elapsed() + LAST_WORDS)

    def _await_power_off(self) -> bool:
        """Whether the guest that has reported switches itself off."""
        self._deadline = self._clock.elapsed() + POWER_OFF
        while self._heard(END) and self._clock.elapsed() < self._deadline:
            if self._guest.status() is not None:
                return True
            self._wait(0.2)
        return False

"""How a boot went: evidence in, verdict out. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum

from os_image_composer.boot.report import END, Answer


class Level(Enum):
    """How much is known. Only the first two can pass; what each is good for differs, so it is always named."""

    SELF_REPORT = "self-report"  # the guest said how it went
    CONSOLE = "console"  # the first serial port said it: a login prompt, failed units, a panic
    ALIVE = "alive"  # the firmware handed over; nothing else is known
    NOTHING = "nothing"  # not even that


@dataclass(frozen=True)
class Evidence:
    """What was seen. `seconds` runs from the start of QEMU to the report, the prompt, or the end of waiting. `prompted`
    says that a login prompt stood there once: a message of the kernel may have been printed behind it since."""

    console: tuple[str, ...]
    answers: tuple[Answer, ...]
    seconds: float
    powered_off: bool
    ended_by: str  # why watching stopped, in words
    prompted: bool = False
    secure_boot: bool = False  # the machine was started with it

    def answer(self, name: str) -> Answer | None:
        return next((a for a in self.answers if a.name == name), None)


@dataclass(frozen=True)
class BootVerdict:
    """`reason` says in words why it passed or not. `default_target` and `target_reached` are None where the level
    cannot know them; `guest_seconds` is the guest's own figure, from its kernel's start to the end of the boot.
    `secure_boot` is what the guest says of it, None where it said nothing. `lines` is the console."""

    level: Level
    passed: bool
    reason: str
    default_target: str | None
    target_reached: bool | None
    failed_units: tuple[str, ...]
    seconds: float
    guest_seconds: float | None
    kernel: str | None
    os: str | None
    powered_off: bool
    secure_boot: bool | None
    answers: tuple[Answer, ...] = field(repr=False)
    lines: tuple[str, ...] = field(repr=False)

    def answer(self, name: str) -> Answer:
        """The answer to the probe `name`. Raises KeyError when the guest gave none."""
        for answer in self.answers:
            if answer.name == name:
                return answer
        raise KeyError(name)


_FAILED = re.compile(r"^\[FAILED\] (?:Failed to (?:start|mount|listen on|activate) )?(.*)$")
_UNIT = re.compile(r"([^\s/]+\.(?:service|socket|mount|automount|swap|target|device|path|timer|slice))(?:\s|$|[.…])")
_PROMPT = re.compile(r"^\S+ login: ?$")
_HANDED_OVER = re.compile(
    r"BdsDxe: starting Boot(?!.*Internal Shell)|Booting from (?:Hard Disk|DVD/CD|ROM)|EFI stub:|"
    r"Linux version |Welcome to "
)
_DEAD = (
    (re.compile(r"Kernel panic - not syncing.*"), "the kernel panicked"),
    (re.compile(r"You are in (?:emergency|rescue) mode.*"), "the system stopped in emergency mode"),
    # sulogin(8) without a root password, where systemd's own words go to another console.
    (re.compile(r"Cannot open access to console, the root account is locked"), "the system stopped in emergency mode"),
    (re.compile(r"Entering emergency mode.*"), "the initrd stopped in emergency mode"),
    (re.compile(r"Failed to execute /sbin/init, giving up.*"), "no init could be started"),
    (re.compile(r"\(initramfs\) ?$"), "the initrd gave up and opened a shell"),
    # Tried last: the firmware's own shell, where it is built in.
    (re.compile(r"BdsDxe: loading Boot.* \"EFI Internal Shell\""), "the firmware found nothing to boot"),
    (re.compile(r"BdsDxe: No bootable option or device was found.*"), "the firmware found nothing to boot"),
    (re.compile(r"No bootable device\."), "the firmware found nothing to boot"),  # SeaBIOS
    (re.compile(r".*: Access [Dd]enied"), "the firmware refused a signature"),
    # What systemd-boot and the firmware call it where shim's verifier was asked.
    (re.compile(r".*: Security (?:Policy )?Violation"), "shim refused a signature"),
    # In a box that is drawn with the cursor, so nothing ends its line; shim waits for a key then.
    (re.compile(r"Verification failed: \(0x1A\) Security Violation"), "shim refused a signature"),
)


# Linux, drivers/firmware/efi/libstub/secureboot.c and arch/x86/kernel/setup.c.
_SECURE = re.compile(r"EFI stub: UEFI Secure Boot is enabled|secureboot: Secure boot enabled")


def at_prompt(rest: str) -> bool:
    """Whether the unfinished line `rest` is a login prompt (agetty(8): host name, blank, `login: `)."""
    return bool(_PROMPT.match(rest))


def dead_end(line: str) -> str | None:
    """Why nothing will come after `line`, or None."""
    return next((words for pattern, words in _DEAD if pattern.search(line)), None)


def failed_on_console(lines: tuple[str, ...]) -> tuple[str, ...]:
    """The units that a `[FAILED]` line names, or the line's text where it names none; each once."""
    found: dict[str, None] = {}
    for line in lines:
        match = _FAILED.match(line)
        if match:
            unit = _UNIT.search(match[1])
            found[unit[1] if unit else match[1].strip()] = None
    return tuple(found)


def judge(evidence: Evidence) -> BootVerdict:
    """The highest level that the evidence reaches, and whether the boot passed on it."""
    if evidence.answer(END) is not None:
        return _by_report(evidence)
    failed = failed_on_console(evidence.console)
    if evidence.prompted or any(at_prompt(line) for line in evidence.console):
        reason = _listing("a login prompt, but failed units", failed) if failed else "a login prompt, no failed unit"
        unsure = evidence.secure_boot and not _secure_boot(evidence)
        if unsure:
            reason += "; nothing says that secure boot is on"
        return _verdict(evidence, Level.CONSOLE, not failed and not unsure, reason, failed)
    if any(_HANDED_OVER.search(line) for line in evidence.console):
        if any(dead_end(line) for line in evidence.console):
            return _verdict(evidence, Level.CONSOLE, False, evidence.ended_by, failed)
        reason = f"the firmware handed over, but no login prompt and no report came: {evidence.ended_by}"
        return _verdict(evidence, Level.ALIVE, False, reason, failed)
    return _verdict(evidence, Level.NOTHING, False, f"nothing was started: {evidence.ended_by}", failed)


def _by_report(evidence: Evidence) -> BootVerdict:
    failed = tuple(line.split()[0] for line in _text(evidence, "failed").splitlines() if line.strip())
    target = _text(evidence, "default-target") or None
    state = _text(evidence, "state") or "unknown"
    reached = _text(evidence, "target-active") == "active"
    if failed:
        reason = _listing(f"the system is {state}, failed units", failed)
    elif not reached:
        reason = f"the system is {state}, {target or 'its default target'} was not reached"
    else:
        reason = f"the system is {state}, {target or 'its default target'} reached, no failed unit"
    without = evidence.secure_boot and not _secure_boot(evidence)
    if without:
        reason += "; secure boot is off"
    passed = state == "running" and reached and not failed and not without
    return _verdict(evidence, Level.SELF_REPORT, passed, reason, failed, target, reached)


def _verdict(
    evidence: Evidence,
    level: Level,
    passed: bool,
    reason: str,
    failed: tuple[str, ...],
    target: str | None = None,
    reached: bool | None = None,
) -> BootVerdict:
    return BootVerdict(
        level=level,
        passed=passed,
        reason=reason,
        default_target=target,
        target_reached=reached,
        failed_units=failed,
        seconds=evidence.seconds,
        guest_seconds=_guest_seconds(evidence),
        kernel=_text(evidence, "kernel") or None,
        os=_text(evidence, "os") or None,
        powered_off=evidence.powered_off,
        secure_boot=_secure_boot(evidence),
        answers=evidence.answers,
        lines=evidence.console,
    )


def _secure_boot(evidence: Evidence) -> bool | None:
    """From the variable SecureBoot: 1 or 0; a guest without EFI has none (UEFI specification §3.3). Where there is no
    report, from what the kernel says on the console."""
    answer = evidence.answer("secure-boot")
    if answer is not None:
        return answer.output.strip() == "1"
    return True if any(_SECURE.search(line) for line in evidence.console) else None


def _guest_seconds(evidence: Evidence) -> float | None:
    """From `FinishTimestampMonotonic=` (microseconds since the kernel's start, 0 while not finished)."""
    _, _, value = _text(evidence, "times").partition("=")
    return int(value) / 1e6 if value.isdecimal() and int(value) else None


def _text(evidence: Evidence, name: str) -> str:
    answer = evidence.answer(name)
    return answer.output.strip() if answer else ""


def _listing(head: str, names: tuple[str, ...]) -> str:
    return f"{head}: {', '.join(names)}"

"""What is concluded from what was seen."""

from __future__ import annotations

from dataclasses import replace

import pytest

from os_image_composer.boot.report import Answer
from os_image_composer.boot.verdict import (
    Evidence,
    Level,
    at_prompt,
    dead_end,
    failed_on_console,
    judge,
)

HEALTHY = {
    "begin": "systemd 257 (257.13-1~deb13u1)",
    "state": "running",
    "failed": "",
    "default-target": "graphical.target",
    "target-active": "active",
    "times": "FinishTimestampMonotonic=76827793",
    "kernel": "6.12.117+deb13-cloud-amd64",
    "os": "debian 13",
    "end": "",
}
FIRMWARE = ("BdsDxe: starting Boot0001", "EFI stub: Loaded initrd from LINUX_EFI_INITRD_MEDIA_GUID device path")
KERNEL = "[    0.000000] Linux version 6.12.117"


def seen(console: tuple[str, ...] = (), report: dict[str, str] | None = None) -> Evidence:
    answers = tuple(Answer(name, 0, output) for name, output in (report or {}).items())
    return Evidence(console, answers, 42.0, powered_off=bool(report), ended_by="not within 300 s")


def test_a_healthy_report_passes_on_the_highest_level() -> None:
    verdict = judge(seen((*FIRMWARE, KERNEL, "lab login: "), HEALTHY))
    assert (verdict.level, verdict.passed) == (Level.SELF_REPORT, True)
    assert (verdict.default_target, verdict.target_reached) == ("graphical.target", True)
    assert verdict.guest_seconds == pytest.approx(76.827793)
    assert (verdict.kernel, verdict.os, verdict.seconds) == ("6.12.117+deb13-cloud-amd64", "debian 13", 42.0)


def test_a_failed_unit_in_the_report_fails_the_boot_and_is_named() -> None:
    listing = "ssh.service   loaded failed failed OpenBSD Secure Shell server\nx\\x2dy.mount loaded failed failed X\n"
    verdict = judge(seen((), HEALTHY | {"state": "degraded", "failed": listing}))
    assert not verdict.passed
    assert verdict.failed_units == ("ssh.service", "x\\x2dy.mount")
    assert "ssh.service" in verdict.reason


def test_emergency_mode_does_not_pass_though_no_unit_failed() -> None:
    verdict = judge(seen((), HEALTHY | {"state": "maintenance", "target-active": "inactive"}))
    assert (verdict.passed, verdict.target_reached) == (False, False)
    assert "maintenance" in verdict.reason


def test_a_running_system_whose_default_target_is_not_active_does_not_pass() -> None:
    assert not judge(seen((), HEALTHY | {"target-active": "inactive"})).passed


def test_a_report_that_breaks_off_is_no_report() -> None:
    partial = {k: v for k, v in HEALTHY.items() if k != "end"}
    verdict = judge(seen((*FIRMWARE, KERNEL), partial))
    assert (verdict.level, verdict.passed) == (Level.ALIVE, False)


def test_a_login_prompt_without_failed_lines_passes_on_the_console() -> None:
    verdict = judge(seen((*FIRMWARE, KERNEL, "[  OK  ] Started ssh.service", "bookworm login: ")))
    assert (verdict.level, verdict.passed, verdict.default_target) == (Level.CONSOLE, True, None)


def test_a_login_prompt_behind_which_the_kernel_printed_is_a_prompt() -> None:
    line = "debian13 login: [  231.7] systemd-journald[262]: Time jumped backwards, rotating."
    verdict = judge(replace(seen((*FIRMWARE, KERNEL, line)), prompted=True))
    assert (verdict.level, verdict.passed) == (Level.CONSOLE, True)


def test_a_login_prompt_with_a_failed_line_does_not_pass() -> None:
    line = "[FAILED] Failed to start ssh.service - OpenBSD Secure Shell server."
    verdict = judge(seen((*FIRMWARE, line, "bookworm login: ")))
    assert (verdict.level, verdict.passed, verdict.failed_units) == (Level.CONSOLE, False, ("ssh.service",))


def test_a_guest_that_says_it_is_stuck_is_not_merely_alive() -> None:
    stuck = "Entering emergency mode. Exit the shell to continue."
    verdict = judge(seen((*FIRMWARE, KERNEL, stuck)))
    assert (verdict.level, verdict.passed) == (Level.CONSOLE, False)


@pytest.mark.parametrize("console", [FIRMWARE, (FIRMWARE[0],), (*FIRMWARE, KERNEL)])
def test_a_guest_that_says_nothing_after_the_firmware_is_alive_and_no_more(console: tuple[str, ...]) -> None:
    verdict = judge(seen(console))
    assert (verdict.level, verdict.passed) == (Level.ALIVE, False)


SHELL = 'Boot0002 "EFI Internal Shell" from Fv(7CB8BDC9)/FvFile(7C04A583)'


@pytest.mark.parametrize(
    "last", ["BdsDxe: No bootable option or device was found.", f"BdsDxe: loading {SHELL}", f"BdsDxe: starting {SHELL}"]
)
def test_a_firmware_that_found_nothing_is_not_alive(last: str) -> None:
    verdict = judge(seen(('BdsDxe: failed to load Boot0001 "UEFI Misc Device": Not Found', last)))
    assert (verdict.level, verdict.passed) == (Level.NOTHING, False)


@pytest.mark.parametrize(
    ("rest", "prompt"),
    [
        ("debian login: ", True),
        ("debian login:", True),
        ("[  OK  ] Reached target login.target", False),
        ("Last login: Mon Nov 23 on ttyS0", False),
        ("", False),
    ],
)
def test_only_a_getty_prompt_is_a_prompt(rest: str, prompt: bool) -> None:
    assert at_prompt(rest) is prompt


def test_failed_units_are_named_once_and_a_line_without_unit_is_kept_as_it_is() -> None:
    lines = (
        "[FAILED] Failed to start ssh.service - OpenBSD Secure Shell server.",
        "[FAILED] Failed to start ssh.service - OpenBSD Secure Shell server.",
        "[FAILED] Failed to mount boot-efi.mount - /boot/efi.",
        "[FAILED] Failed to start Load Kernel Modules.",
        "[DEPEND] Dependency failed for local-fs.target - Local File Systems.",
        "echo '[FAILED] not at the start'",
    )
    assert failed_on_console(lines) == ("ssh.service", "boot-efi.mount", "Load Kernel Modules.")


@pytest.mark.parametrize(
    "line",
    [
        "[    2.1] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)",
        'You are in emergency mode. After logging in, type "journalctl -xb"',
        "Entering emergency mode. Exit the shell to continue.",
        "Cannot open access to console, the root account is locked.",
        "BdsDxe: No bootable option or device was found.",
        f"BdsDxe: loading {SHELL}",
        "Error loading \\EFI\\Linux\\linux.efi: Access Denied",
    ],
)
def test_a_dead_end_is_recognised(line: str) -> None:
    assert dead_end(line)


@pytest.mark.parametrize("line", ["[  OK  ] Reached target emergency.target", "audit: access denied", ""])
def test_ordinary_lines_are_no_dead_end(line: str) -> None:
    assert dead_end(line) is None


def secured(evidence: Evidence) -> Evidence:
    return replace(evidence, secure_boot=True)


def test_boot_that_was_asked_for_secure_boot_passes_only_with_it() -> None:
    on, off = HEALTHY | {"secure-boot": "   1\n"}, HEALTHY | {"secure-boot": "   0\n"}
    assert judge(secured(seen(report=on))).passed
    assert judge(secured(seen(report=on))).secure_boot is True
    for report in (off, HEALTHY | {"secure-boot": "tail: cannot open\n"}, HEALTHY):
        verdict = judge(secured(seen(report=report)))
        assert not verdict.passed
        assert "secure boot is off" in verdict.reason
    assert judge(seen(report=off)).passed  # nobody asked


def test_console_tells_of_secure_boot_where_the_guest_does_not_report() -> None:
    said = (*FIRMWARE, "EFI stub: UEFI Secure Boot is enabled.", KERNEL, "lab login: ")
    verdict = judge(secured(seen(said)))
    assert (verdict.level, verdict.passed, verdict.secure_boot) == (Level.CONSOLE, True, True)
    silent = judge(secured(seen((*FIRMWARE, KERNEL, "lab login: "))))
    assert (silent.passed, silent.secure_boot) == (False, None)
    assert "nothing says that secure boot is on" in silent.reason


@pytest.mark.parametrize(
    "line",
    [
        "BdsDxe: failed to load Boot0001 from PciRoot(0x0)/Pci(0x1,0x0): Access Denied",
        "Error loading \\EFI\\Linux\\linux.efi: Access denied",
    ],
)
def test_refused_signature_is_the_end_of_a_boot(line: str) -> None:
    assert dead_end(line) == "the firmware refused a signature"


@pytest.mark.parametrize(
    "line",
    [
        "Error loading \\EFI\\Linux\\vmlinuz-uki-6.1.efi: Security Policy Violation",
        'BdsDxe: failed to start Boot0001 "UEFI Misc Device" from PciRoot(0x0)/Pci(0x1,0x0): Security Violation',
    ],
)
def test_signature_that_shims_verifier_refused_is_the_end_of_a_boot(line: str) -> None:
    assert dead_end(line) == "shim refused a signature"


def test_signature_that_shim_refused_is_the_end_of_a_boot_in_the_box_that_it_draws() -> None:
    box = "\ufffd" * 78 + "\u013f\ufffd" + "ERROR".center(78) + "\ufffd\ufffd"
    box += "Verification failed: (0x1A) Security Violation".center(78) + "\ufffd\ufffd" + " " * 78
    assert dead_end(box) == "shim refused a signature"

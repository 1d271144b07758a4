"""The image boots, says so itself, and lets the template's user in."""

from __future__ import annotations

import json

import pytest

from os_image_composer.boot.machine import Machine
from os_image_composer.boot.qemu import run_guest
from os_image_composer.build.clock import SystemClock
from support.workshop import Workshop

pytestmark = pytest.mark.boot

# Under TCG, on two busy cores; a quiet machine takes a quarter.
SECONDS = 600


@pytest.mark.timeout(SECONDS + 60)
def test_booted_system_reports_its_default_target_reached_and_no_failed_unit(built: Workshop) -> None:
    done = built.run("boot", "--check", "--json", "--timeout", str(SECONDS), str(built.image()))
    verdict = json.loads(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert verdict["level"] == "self-report"
    assert verdict["passed"] is verdict["targetReached"] is True
    assert verdict["defaultTarget"] == "graphical.target"
    assert verdict["failedUnits"] == []


@pytest.mark.timeout(SECONDS + 180)
def test_user_of_the_template_logs_in_on_the_serial_console(built: Workshop) -> None:
    with run_guest(built.image(), Machine(), SystemClock()) as guest:
        console = guest.console
        console.expect(r"debian13 login: $", SECONDS)
        console.send("admin\n")
        console.expect(r"Password: $", 60)
        console.send("change-me-first\n")
        console.expect(r"admin@debian13:~\$ $", 60)
        console.send("echo change-me-first | sudo -S -p '' id -un; cat /etc/machine-id | wc -c; ls /etc/ssh\n")
        # systemd filled the empty machine-id, and ssh made its keys: neither came with the image.
        answer = console.expect(r"(?s)root\n33\n.*admin@debian13:~\$ $", 120)
        assert "ssh_host_ed25519_key" in answer

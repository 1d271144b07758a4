"""Each level of the verdict on a real boot: what an image tells decides, not who made it.

Debian 12, whose systemd takes no units from outside, is booted in `test_distributions`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support.workshop import TEMPLATE, Workshop

pytestmark = [pytest.mark.matrix, pytest.mark.boot]

# Under TCG, on two busy cores.
LIMIT = 900
SERIAL = "console=tty0 console=ttyS0,115200"


def verdict(workshop: Workshop, image: Path, limit: float = LIMIT) -> tuple[int, dict[str, object]]:
    done = workshop.run("boot", "--check", "--json", "--timeout", str(limit), str(image))
    assert done.stdout, done.stderr
    found = json.loads(done.stdout)
    print(f"{image.name}: {json.dumps(found)}")
    return done.returncode, found


def booted(
    built: Workshop, folder: Path, cmdline: str, limit: float = LIMIT, configuration: str = ""
) -> tuple[int, dict[str, object]]:
    """The sample with another kernel command line, and perhaps one more command."""
    text = TEMPLATE.read_text()
    text = text.replace("  users:", f'  kernel: {{cmdline: "{cmdline}"}}\n{configuration}\n  users:')
    (folder / "variant.yml").write_text(text)
    done = built.run("build", "--quiet", "--output", str(folder), str(folder / "variant.yml"))
    assert done.returncode == 0, done.stderr
    return verdict(built, Path(done.stdout.strip()), limit)


@pytest.mark.timeout(LIMIT + 600)
def test_guest_that_takes_no_credentials_is_judged_by_its_console(built: Workshop, tmp_path: Path) -> None:
    status, found = booted(built, tmp_path, f"{SERIAL} systemd.import_credentials=no")
    assert (status, found["level"], found["passed"]) == (0, "console", True), found


@pytest.mark.timeout(LIMIT + 600)
def test_failed_unit_on_the_console_fails_the_boot(built: Workshop, tmp_path: Path) -> None:
    unit = "[Service]\\nType=oneshot\\nExecStart=false\\n[Install]\\nWantedBy=multi-user.target\\n"
    command = f"printf '{unit}' >/etc/systemd/system/broken.service && systemctl enable broken.service"
    configuration = f"  configurations:\n    - cmd: {json.dumps(command)}"
    status, found = booted(built, tmp_path, f"{SERIAL} systemd.import_credentials=no", configuration=configuration)
    assert (status, found["level"], found["passed"]) == (1, "console", False), found
    assert isinstance(found["failedUnits"], list) and "broken.service" in found["failedUnits"]


@pytest.mark.timeout(LIMIT + 600)
def test_guest_without_serial_console_is_alive_and_no_more(built: Workshop, tmp_path: Path) -> None:
    status, found = booted(built, tmp_path, "console=tty0 systemd.import_credentials=no", limit=150)
    assert (status, found["level"], found["passed"]) == (3, "alive", False), found


@pytest.mark.timeout(LIMIT + 600)
@pytest.mark.parametrize(
    ("parameter", "words"),
    [("init=/bin/false", "the kernel panicked"), ("systemd.unit=emergency.target", "stopped in emergency mode")],
)
def test_guest_that_gives_up_is_told_at_once_with_its_words(
    built: Workshop, tmp_path: Path, parameter: str, words: str
) -> None:
    status, found = booted(built, tmp_path, f"{SERIAL} systemd.import_credentials=no {parameter}")
    assert (status, found["level"], found["passed"]) == (1, "console", False), found
    assert words in str(found["reason"])
    assert isinstance(found["seconds"], float) and found["seconds"] < LIMIT

"""Ctrl-C ends a build within five seconds with exit code 130, whatever it does, and leaves no process and no mount."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.building import Building
from support.commands import told
from support.processes import family, left_of
from support.workshop import CHECKOUT, TEMPLATE, Workshop, remove_workshop

pytestmark = pytest.mark.build


@pytest.fixture
def victim(built: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    """Empty caches, and the locks of a finished build: what is fetched and installed is known."""
    made = Workshop(tmp_path_factory.mktemp("interrupted"))
    made.cache.mkdir()
    shutil.copytree(built.cache / "locks", made.cache / "locks")
    yield made
    remove_workshop(made)


def interrupt(build: Building, workshop: Workshop) -> None:
    """Ctrl-C, and what must hold afterwards."""
    known = family(build.process.pid)
    build.process.send_signal(signal.SIGINT)
    assert build.process.wait(5) == 130
    gone_by = time.monotonic() + 3
    while (left := left_of(known, str(workshop.root))) and time.monotonic() < gone_by:
        time.sleep(0.1)
    assert left == []
    assert str(workshop.root) not in Path("/proc/self/mountinfo").read_text()


def test_while_packages_are_fetched_and_installed(built: Workshop, victim: Workshop, tmp_path: Path) -> None:
    fetching = Building(victim, tmp_path / "fetching")
    fetching.wait_for("transferred")
    interrupt(fetching, victim)
    # What was fetched stays; what comes now is fetched once, not twice.
    shutil.rmtree(victim.cache / "packages")
    shutil.copytree(built.cache / "packages", victim.cache / "packages")
    installing = Building(victim, tmp_path / "installing")
    installing.wait_for("step-started", "essential")
    time.sleep(2)
    interrupt(installing, victim)
    assert not victim.image().exists()


@pytest.mark.matrix
def test_while_the_other_family_installs_its_packages_and_the_next_build_goes_on(
    rpm_settings: Path, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    template = CHECKOUT / "image-templates" / "azl3-x86_64-minimal-raw.yml"
    workshop = Workshop(tmp_path_factory.mktemp("interrupted-rpm"))
    flags = ("--config", str(rpm_settings))
    installing = Building(workshop, tmp_path / "installing", template=template, flags=flags)
    installing.wait_for("step-started", "packages:default")
    time.sleep(2)
    interrupt(installing, workshop)
    ended = {e["step"]: e["outcome"] for e in installing.events("step-finished")}
    assert ended["packages:default"] == "failed"
    assert not list(workshop.work.rglob("*.raw"))
    again = told(workshop.run(*flags, "build", "--json-events", str(template)))
    assert "chroot-environment" in again.reused  # and what it was made with is not needed again
    assert "packages:default" in again.ran
    assert list(workshop.work.rglob("*.raw"))
    remove_workshop(workshop)


def test_while_the_disk_is_written_and_the_next_build_is_right(built: Workshop, tmp_path: Path) -> None:
    template = tmp_path / "variant.yml"
    template.write_text(TEMPLATE.read_text().replace("hostname: debian13", "hostname: interrupted"))
    build = Building(built, tmp_path / "writing", "--output", str(tmp_path / "out"), template=template)
    build.wait_for("step-started", "disk")
    time.sleep(1)
    interrupt(build, built)
    assert [path.name for path in (tmp_path / "out").rglob("*.raw") if path.parent.name != ".staging"] == []
    words = ("build", "--json-events", "--output", str(tmp_path / "out"), str(template))
    first = told(built.run(*words))
    assert first.ran == ("disk",)
    assert [path.name for path in (tmp_path / "out").iterdir()].count(".staging") == 0

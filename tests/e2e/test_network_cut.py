"""The mirror dies in the middle of a fetch: a clear error; when it is back, what is missing is fetched, and no more."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from os_image_composer.ospackage.family import family_for
from support.building import Building
from support.dying_mirror import MIB, DyingMirror
from support.workshop import Workshop, remove_workshop

pytestmark = pytest.mark.build


@pytest.fixture
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    made = Workshop(tmp_path_factory.mktemp("cut"))
    yield made
    remove_workshop(made)


@pytest.mark.timeout(600)
def test_fetch_that_was_cut_off_goes_on_where_it_ended(workshop: Workshop, tmp_path: Path) -> None:
    mirror = DyingMirror(family_for("deb").host_mirrors(Path("/etc")), 20 * MIB)
    with mirror.alive():
        first = Building(workshop, tmp_path / "first", flags=mirror.flags).finished()
    assert first.returncode == 1
    assert "error[mirror-unavailable]: cannot fetch http://127.0.0.1" in first.stderr
    packages = workshop.cache / "packages"
    whole = sum(path.stat().st_size for path in packages.glob("sha256/*/*"))
    begun = sum(path.stat().st_size for path in packages.glob("partial/*"))
    assert whole > 0
    assert begun > 0

    sent, mirror.budget, mirror.resumed = mirror.sent, 1 << 40, 0
    with mirror.alive():
        second = Building(workshop, tmp_path / "second", flags=mirror.flags)
        second.wait_for("step-finished", "image-tools")
        second.process.send_signal(signal.SIGINT)
        second.process.wait(10)
    assert second.events("step-finished"), second.finished().stderr
    assert mirror.resumed > 0
    # Nothing that was whole came twice, and of what had begun the rest.
    there = sum(path.stat().st_size for path in (*packages.glob("sha256/*/*"), *packages.glob("partial/*")))
    assert mirror.sent - sent <= there - whole - begun + 4 * MIB

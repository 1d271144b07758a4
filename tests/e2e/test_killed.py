"""`kill -9` of a build at any moment: nothing goes on running, nothing stays mounted, the next build is right."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.building import Building
from support.commands import Told, told
from support.processes import family, left_of
from support.workshop import CHECKOUT, TEMPLATE, Workshop, remove_workshop

pytestmark = pytest.mark.build

SEED = 20
# What runs while packages are installed, as its command line begins.
INSTALLING = {"deb": r"(\S*/)?dpkg ", "rpm": r"rpm .*--install "}


@dataclass(frozen=True)
class Subject:
    """A sample with its settings, of one family, and the workshop where it was built undisturbed."""

    family: str
    built: Workshop
    template: Path
    settings: Path | None = None

    @property
    def flags(self) -> tuple[str, ...]:
        return ("--config", str(self.settings)) if self.settings else ()

    def build(self, workshop: Workshop) -> Told:
        return told(workshop.run(*self.flags, "build", "--json-events", str(self.template)))

    def digests(self, workshop: Workshop) -> dict[str, str]:
        return {name: result.digest for name, result in workshop.results(self.template, self.settings).items()}


@pytest.fixture
def subject(request: pytest.FixtureRequest) -> Subject:
    if request.param == "deb":
        return Subject("deb", request.getfixturevalue("built"), TEMPLATE)
    template = CHECKOUT / "image-templates" / "azl3-x86_64-minimal-raw.yml"
    found = Subject("rpm", request.getfixturevalue("workshop"), template, request.getfixturevalue("rpm_settings"))
    found.build(found.built)
    return found


@pytest.fixture
def victim(subject: Subject, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    """An empty store beside the packages, the locks and the salted password hashes of a finished build: what is
    compared is the build."""
    made = Workshop(tmp_path_factory.mktemp("victim"))
    made.cache.mkdir()
    (made.cache / "packages").symlink_to(subject.built.cache / "packages")
    shutil.copytree(subject.built.cache / "locks", made.cache / "locks")
    yield made
    (made.cache / "packages").unlink()
    remove_workshop(made)


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("subject", ["deb"], indirect=True)
def test_ten_kills_leave_nothing_behind_and_the_next_build_gives_the_same_digests(
    subject: Subject, victim: Workshop
) -> None:
    kill_and_compare(subject, victim, 10)


@pytest.mark.matrix
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("subject", ["deb", "rpm"], indirect=True)
def test_fifty_kills_leave_nothing_behind_and_the_next_build_gives_the_same_digests(
    subject: Subject, victim: Workshop
) -> None:
    struck = kill_and_compare(subject, victim, 50)
    print("kills by step:", dict(sorted(struck.items())))
    assert len(struck) >= 6


def kill_and_compare(subject: Subject, victim: Workshop, kills: int) -> Counter[str]:
    """Kill `kills` builds at seeded moments, each the successor of the last; gives in which steps that was."""
    expected = subject.build(subject.built)
    reference = subject.digests(subject.built)
    moments = random.Random(SEED)
    events = victim.root / "events"
    struck: Counter[str] = Counter()
    installing = re.compile(INSTALLING[subject.family])
    inside = done = 0
    while done < kills:
        build = Building(victim, events, template=subject.template, flags=subject.flags).process
        if done:
            await_moment(build, events, steps=moments.randrange(4), seconds=moments.uniform(0.1, 4))
        else:
            await_installing(build, installing)
        if build.poll() is not None:
            # It had ended before its moment came: begin again from an empty store. This was no kill.
            assert build.returncode == 0
            victim.bare_sandbox().remove([victim.cache / "store"])
            continue
        done += 1
        known = family(build.pid)
        inside += any(installing.match(process.command) for process in known)
        os.kill(build.pid, signal.SIGKILL)
        build.wait()
        struck.update(unfinished(events))
        gone_by = time.monotonic() + 20  # at once, but a machine can be busy
        while (left := left_of(known, str(victim.root))) and time.monotonic() < gone_by:
            time.sleep(0.1)
        assert left == []
        assert str(victim.root) not in Path("/proc/self/mountinfo").read_text()
    print("kills while packages were being installed:", inside)
    assert inside > 0
    after = subject.build(victim)
    assert after.sha256 == expected.sha256
    assert subject.digests(victim) == reference
    assert [p.name for p in (victim.cache / "tmp").iterdir() if p.name != "tests"] == []
    return struck


def await_installing(build: subprocess.Popen[bytes], installing: re.Pattern[str]) -> None:
    while build.poll() is None and not any(installing.match(process.command) for process in family(build.pid)):
        time.sleep(0.05)


def await_moment(build: subprocess.Popen[bytes], events: Path, steps: int, seconds: float) -> None:
    """Until so many steps have begun, which a slow machine does later, and then so long; or until it has ended."""
    while build.poll() is None and events.read_bytes().count(b'"step-started"') < steps:
        time.sleep(0.05)
    end = time.monotonic() + seconds
    while build.poll() is None and time.monotonic() < end:
        time.sleep(0.05)


def unfinished(events: Path) -> list[str]:
    """The steps that had begun and not ended when a build was killed; `before` any and `between` two."""
    running: list[str] = []
    last = "before"
    for line in events.read_text().splitlines():
        with contextlib.suppress(ValueError):  # the line in which the build was killed
            event = json.loads(line)
            if event["event"] == "step-started":
                running.append(event["step"])
            elif event["event"] == "step-finished":
                running = [name for name in running if name != event["step"]]
                last = "between"
    return running or [last]

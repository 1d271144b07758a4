"""`kill -9` of a build at any moment: nothing goes on running, nothing stays mounted, the next build is right."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.commands import told
from support.processes import MARKER, family, left_of
from support.workshop import CHECKOUT, TEMPLATE, Workshop, remove_workshop

pytestmark = pytest.mark.build

SEED = 20


def start(workshop: Workshop, events: Path) -> subprocess.Popen[bytes]:
    """A build in the background; what it says goes to the file `events`."""
    env = {**os.environ, "PYTHONPATH": str(CHECKOUT / "src"), MARKER: str(workshop.root)}
    argv = workshop.argv("build", "--json-events", str(TEMPLATE))
    with events.open("wb") as stream:
        return subprocess.Popen(argv, env=env, cwd=CHECKOUT, stdout=stream, stderr=subprocess.DEVNULL)


@pytest.fixture
def victim(built: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    """An empty store beside the packages, the locks and the salted password hashes of a finished build: what is
    compared is the build."""
    made = Workshop(tmp_path_factory.mktemp("victim"))
    made.cache.mkdir()
    (made.cache / "packages").symlink_to(built.cache / "packages")
    shutil.copytree(built.cache / "locks", made.cache / "locks")
    yield made
    (made.cache / "packages").unlink()
    remove_workshop(made)


@pytest.mark.timeout(1200)
def test_ten_kills_leave_nothing_behind_and_the_next_build_gives_the_same_digests(
    built: Workshop, victim: Workshop
) -> None:
    kill_and_compare(built, victim, 10)


@pytest.mark.matrix
@pytest.mark.timeout(3600)
def test_fifty_kills_leave_nothing_behind_and_the_next_build_gives_the_same_digests(
    built: Workshop, victim: Workshop
) -> None:
    struck = kill_and_compare(built, victim, 50)
    print("kills by step:", dict(sorted(struck.items())))
    assert len(struck) >= 6


def kill_and_compare(built: Workshop, victim: Workshop, kills: int) -> Counter[str]:
    """Kill `kills` builds at seeded moments, each the successor of the last; gives in which steps that was."""
    expected = told(built.run("build", "--json-events", str(TEMPLATE)))
    reference = step_digests(built)
    moments = random.Random(SEED)
    events = victim.root / "events"
    struck: Counter[str] = Counter()
    inside_dpkg = done = 0
    while done < kills:
        build = start(victim, events)
        await_moment(build, events, steps=moments.randrange(4), seconds=moments.uniform(0.1, 4))
        if build.poll() is not None:
            # It had ended before its moment came: begin again from an empty store. This was no kill.
            assert build.returncode == 0
            victim.sandbox().remove([victim.cache / "store"])
            continue
        done += 1
        known = family(build.pid)
        inside_dpkg += any("dpkg" in process.command for process in known)
        os.kill(build.pid, signal.SIGKILL)
        build.wait()
        struck.update(unfinished(events))
        gone_by = time.monotonic() + 20  # at once, but a machine can be busy
        while (left := left_of(known, str(victim.root))) and time.monotonic() < gone_by:
            time.sleep(0.1)
        assert left == []
        assert str(victim.root) not in Path("/proc/self/mountinfo").read_text()
    assert inside_dpkg > 0
    after = told(victim.run("build", "--json-events", str(TEMPLATE)))
    assert after.sha256 == expected.sha256
    assert step_digests(victim) == reference
    assert [p.name for p in (victim.cache / "tmp").iterdir() if p.name != "tests"] == []
    return struck


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


def step_digests(workshop: Workshop) -> dict[str, str]:
    return {name: result.digest for name, result in workshop.results().items()}

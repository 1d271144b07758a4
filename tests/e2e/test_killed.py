"""`kill -9` of a build at any moment: nothing goes on running, nothing stays mounted, the next build is right."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from support.commands import told
from support.workshop import CHECKOUT, TEMPLATE, Workshop, remove_workshop

pytestmark = pytest.mark.build

SEED = 20
MOMENTS = 20


def processes_of(workshop: Workshop) -> list[str]:
    """Command lines of what a build of ours has started and what still lives: processes with one of our ids that are
    in a PID namespace of their own, are the sandbox's helper, or have inherited the workshop's marker."""
    marker = f"OIC_TEST_MARKER={workshop.root}".encode()
    ids = workshop.sandbox().ids
    ours = {u for m in ids.uids for u in (m.outside, m.outside + m.count - 1)} | {os.getuid()}
    ranges = [range(m.outside, m.outside + m.count) for m in ids.uids]
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        try:
            status = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
            command = (folder / "cmdline").read_bytes().decode("utf-8", "replace")
            uid = int(status["Uid"].split()[0])
            if uid not in ours and not any(uid in r for r in ranges):
                continue
            inside = len(status["NSpid"].split()) > 1
            if inside or "chroot/helper" in command or marker in environment(folder):
                found.append(f"{folder.name} {command}")
        except (OSError, KeyError):
            continue
    return found


def environment(folder: Path) -> bytes:
    try:
        return (folder / "environ").read_bytes()
    except PermissionError:
        return b""


def start(workshop: Workshop) -> subprocess.Popen[bytes]:
    env = {**os.environ, "PYTHONPATH": str(CHECKOUT / "src"), "OIC_TEST_MARKER": str(workshop.root)}
    argv = workshop.argv("build", "--json-events", str(TEMPLATE))
    return subprocess.Popen(argv, env=env, cwd=CHECKOUT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@pytest.mark.timeout(1500)
def test_twenty_kills_leave_nothing_behind_and_the_next_build_gives_the_same_digests(
    built: Workshop, tmp_path_factory: pytest.TempPathFactory
) -> None:
    expected = told(built.run("build", "--json-events", str(TEMPLATE)))
    reference = step_digests(built)
    moments = random.Random(SEED)
    victim = Workshop(tmp_path_factory.mktemp("victim"))
    victim.cache.mkdir()
    (victim.cache / "packages").symlink_to(built.cache / "packages")
    # The same lock and the same salted password hashes: what is compared is the build.
    shutil.copytree(built.cache / "locks", victim.cache / "locks")
    finished = inside_dpkg = 0
    try:
        for _ in range(MOMENTS):
            build = start(victim)
            time.sleep(moments.uniform(0.3, 14))
            if build.poll() is not None:
                # It was done before its moment came: begin again from an empty store, so that no kill is wasted.
                assert build.returncode == 0
                finished += 1
                victim.sandbox().remove([victim.cache / "store"])
            inside_dpkg += any("dpkg" in command for command in processes_of(victim))
            os.kill(build.pid, signal.SIGKILL)
            build.wait()
            gone_by = time.monotonic() + 3
            while (left := processes_of(victim)) and time.monotonic() < gone_by:
                time.sleep(0.1)
            assert left == []
            assert str(victim.root) not in Path("/proc/self/mountinfo").read_text()
        assert finished < MOMENTS / 2
        assert inside_dpkg > 0
        after = told(victim.run("build", "--json-events", str(TEMPLATE)))
        assert after.sha256 == expected.sha256
        assert step_digests(victim) == reference
        assert [p.name for p in (victim.cache / "tmp").iterdir() if p.name != "tests"] == []
    finally:
        (victim.cache / "packages").unlink()
        remove_workshop(victim)


def step_digests(workshop: Workshop) -> dict[str, str]:
    return {name: result.digest for name, result in workshop.results().items()}


def test_interrupt_ends_a_build_within_five_seconds_with_exit_code_130(
    built: Workshop, tmp_path_factory: pytest.TempPathFactory
) -> None:
    victim = Workshop(tmp_path_factory.mktemp("interrupted"))
    victim.cache.mkdir()
    (victim.cache / "packages").symlink_to(built.cache / "packages")
    try:
        build = start(victim)
        time.sleep(6)
        build.send_signal(signal.SIGINT)
        assert build.wait(5) == 130
        assert processes_of(victim) == []
        assert not victim.image().exists()
    finally:
        (victim.cache / "packages").unlink()
        remove_workshop(victim)

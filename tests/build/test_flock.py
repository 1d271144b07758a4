"""A lock is on the file that has the name, and on no other."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from os_image_composer.build.flock import is_still, locked, open_locked


def test_lock_that_is_held_is_refused_where_nobody_wants_to_wait(tmp_path: Path) -> None:
    with locked(tmp_path / "lock"), pytest.raises(BlockingIOError):
        open_locked(tmp_path / "lock", wait=False)
    open_locked(tmp_path / "lock", wait=False).close()


@pytest.mark.parametrize("how", ["removed", "renamed"])
def test_who_waited_for_a_file_that_is_gone_locks_the_new_one(tmp_path: Path, how: str) -> None:
    path = tmp_path / "partial"
    first = open_locked(path)
    got: list[bool] = []

    def wait() -> None:
        with open_locked(path) as file:
            got.append(is_still(file, path))

    waiting = threading.Thread(target=wait)
    waiting.start()
    while not _waiters(path):
        pass
    if how == "removed":
        path.unlink()
    else:
        path.rename(tmp_path / "whole")
    first.close()
    waiting.join(5)
    assert got == [True]


def _waiters(path: Path) -> bool:
    """Whether somebody waits for the lock: /proc/locks marks those lines with an arrow (proc(5))."""
    inode = f":{path.stat().st_ino} "
    return any("->" in line and inode in line for line in Path("/proc/locks").read_text().splitlines())


def test_five_processes_lose_no_change_though_each_removes_the_lock(tmp_path: Path) -> None:
    (tmp_path / "count").write_text("0")
    script = (
        "import sys; from pathlib import Path; from os_image_composer.build.flock import locked\n"
        "folder = Path(sys.argv[1])\n"
        "for _ in range(20):\n"
        "    with locked(folder / 'lock'):\n"
        "        (folder / 'count').write_text(str(int((folder / 'count').read_text()) + 1))\n"
        "        (folder / 'lock').unlink()\n"
    )
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")}
    running = [subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], env=env) for _ in range(5)]
    assert [process.wait(30) for process in running] == [0] * 5
    assert (tmp_path / "count").read_text() == "100"

"""A container as rootless engines make it: a user namespace of the caller's ids, with mounts and processes of its own.
There the caller is root, may mount what it likes, and nothing of it is seen outside."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from support.workshop import CHECKOUT

#: root of the machine has no subordinate ids, which `unshare --map-auto` asks for; CI runs these as an ordinary user.
as_ordinary_user = pytest.mark.skipif(os.geteuid() == 0, reason="needs an ordinary user's subordinate ids")

_ENTER = ("unshare", "--user", "--map-root-user", "--map-auto", "--mount", "--pid", "--fork", "--kill-child")


def container_argv(prepare: Sequence[Sequence[object]], argv: Sequence[str]) -> list[str]:
    """The command that runs `argv` in a new container after the commands `prepare`, such as mounts."""
    commands = [["mount", "-t", "proc", "proc", "/proc"], *prepare]
    script = "set -e\n" + "\n".join(shlex.join(str(word) for word in command) for command in commands)
    return [*_ENTER, "sh", "-c", f'{script}\nexec "$@"', "sh", *argv]


def in_container(
    prepare: Sequence[Sequence[object]], argv: Sequence[str], *, home: Path, seconds: float = 300
) -> subprocess.CompletedProcess[str]:
    """Run `argv` there to its end, with this checkout's source and nothing cached in `home`."""
    env = {**os.environ, "PYTHONPATH": str(CHECKOUT / "src"), "HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")}
    done = container_argv(prepare, argv)
    return subprocess.run(done, env=env, cwd=CHECKOUT, capture_output=True, text=True, timeout=seconds)


def tmpfs(where: Path, megabytes: int) -> list[object]:
    """A command for `prepare`: a filesystem of that size."""
    return ["mount", "-t", "tmpfs", "-o", f"size={megabytes}M,mode=0755", "tmpfs", where]

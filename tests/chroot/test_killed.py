"""However the build ends, nothing of it stays."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

from os_image_composer.chroot.sandbox import Sandbox

BUILD = """
import json, sys
sys.path[:0] = json.loads(sys.argv[1])
from pathlib import Path
from os_image_composer.chroot.ids import IdMap
from os_image_composer.chroot.job import Bind, Job, Tree
from os_image_composer.chroot.sandbox import Sandbox
from os_image_composer.config.settings import IdRange
scratch, tiny, marker = sys.argv[2:]
def print_line(line):
    print(line, flush=True)
sandbox = Sandbox(IdMap.for_caller(IdRange(2_000_000_000, 65536)), Path(scratch))
loop = f"while :; do sleep 0.1; done # {marker}"
script = f"setsid sh -c '{loop}' & trap '' TERM HUP INT; echo up; {loop}"
sandbox.run(Job(Tree((Path(tiny),)), ("sh", "-c", script), (Bind(Path("/usr"), "/usr"),)), print_line)
"""


def alive(marker: str) -> list[str]:
    found = []
    for folder in Path("/proc").iterdir():
        try:
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if marker in command and folder.name.isdecimal() and int(folder.name) != os.getpid():
            found.append(command)
    return found


def test_kill_9_of_the_build_ends_everything(session_sandbox: tuple[Sandbox, Path], place: Path, tiny: Path) -> None:
    marker = uuid.uuid4().hex
    scratch = place / "scratch"
    scratch.mkdir()
    argv = [sys.executable, "-c", BUILD, json.dumps(sys.path), str(scratch), str(tiny), marker]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as build:
        assert build.stdout is not None
        try:
            assert build.stdout.readline() == b"up\n"
            end = time.monotonic() + 5
            while len(alive(marker)) < 3:  # the build, the program, its grandchild in a session of its own
                assert time.monotonic() < end
                time.sleep(0.02)
        finally:
            os.kill(build.pid, signal.SIGKILL)
        end = time.monotonic() + 2
        while alive(marker) and time.monotonic() < end:
            time.sleep(0.02)
        assert alive(marker) == []
    left = [mount for mount in Path("/proc/self/mountinfo").read_text().splitlines() if str(place) in mount]
    assert left == []
    sandbox, _ = session_sandbox
    sandbox.remove([scratch])
    assert not scratch.exists()

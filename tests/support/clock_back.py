"""The command on a machine whose clock is years back, without a change to this machine's clock.

    python clock_back.py YEARS LIBRARY NOTES WORDS…      (as root; NOTES is a file that is written)

Two things follow from a wrong clock, and each is brought about in its own way:

- what programs read: libfaketime (LIBRARY) is loaded into this process and into every program of the sandbox;
- how the kernel dates what is written: nothing can make it, so before a layer is settled everything in it that was
  dated since this program began is dated back. NOTES gets the hour that a program inside read, and how much was dated.

What this cannot bring about, and another clock would: the times of the last change (ctime), and the dates of files
that one program of a step leaves to the next.
"""

from __future__ import annotations

import functools
import os
import select
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import SupportsIndex

from os_image_composer.build.clock import Span
from os_image_composer.chroot.job import Bind, Completed, Job, MountedTree
from os_image_composer.chroot.sandbox import Sandbox
from os_image_composer.chroot.tree import TreeDigest
from os_image_composer.cli.main import main

YEAR = 365 * 86400
_INSIDE = "/run/clock-back.so"
_LDD = "/usr/bin/ldd"


def environment(years: int, library: str) -> dict[str, str]:
    """Of a program that shall read the clock of `years` ago, and files' dates as they are."""
    return {
        "LD_PRELOAD": library,
        "FAKETIME": f"-{years * YEAR}",
        "NO_FAKE_STAT": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_DISABLE_SHM": "1",
    }


def library() -> Path | None:
    """libfaketime, where Debian and Ubuntu install it."""
    return next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), None)


class _ClockBack:
    def __init__(self, years: int, library: Path, notes: Path) -> None:
        self.years = years
        self.library = library
        self.notes = notes
        notes.write_text("")
        self.since = notes.stat().st_mtime_ns  # by the kernel's clock
        self.run: Callable[..., Completed] = Sandbox.run
        self.settle: Callable[..., TreeDigest] = Sandbox.settle

    def note(self, line: str) -> None:
        with self.notes.open("a") as file:
            file.write(f"{line}\n")

    def job(self, sandbox: Sandbox, job: Job) -> Job:
        roots = ["", *(m.target for m in job.mounts if isinstance(m, MountedTree) and m.api)]
        binds = [Bind(self.library, f"{root}{_INSIDE}") for root in roots]
        script = sandbox.read(job.root, [_LDD]).get(_LDD)
        if script is not None and job.argv[0] == "dracut":
            # What it asks ldd about would seem to need the library, and the initrd would get it.
            quiet = self.notes.with_suffix(".ldd")
            head, _, rest = script.partition(b"\n")
            quiet.write_bytes(head + b"\nunset LD_PRELOAD\n" + rest)
            quiet.chmod(0o755)
            binds.append(Bind(quiet, _LDD))
        env = {**job.env, **environment(self.years, _INSIDE)}
        return replace(job, mounts=(*job.mounts, *binds), env=env)

    def ran(self, sandbox: Sandbox, job: Job, on_line: Callable[[str], None] | None = None) -> Completed:
        if job.argv[0] in ("dpkg", "rpm", "apt-get", "dracut"):
            hour = self.run(sandbox, self.job(sandbox, replace(job, argv=("date", "+%s"), stdin=b"", cwd="/")))
            self.note(f"{job.argv[0]} {hour.output.decode().strip()}")
        return self.run(sandbox, self.job(sandbox, job), on_line)

    def settled(self, sandbox: Sandbox, path: Path, clamp: int, written: Span) -> TreeDigest:
        count = 0
        for entry in (path, *path.rglob("*")):
            status = entry.lstat()
            if status.st_mtime_ns >= self.since and not stat.S_ISCHR(status.st_mode):
                back = status.st_mtime_ns - self.years * YEAR * 10**9
                os.utime(entry, ns=(back, back), follow_symlinks=False)
                count += 1
        self.note(f"dated {count}")
        return self.settle(sandbox, path, clamp, written)


def _passed_on(sandbox: Sandbox, function: Callable[..., object], *words: object) -> object:
    return function(sandbox, *words)


def sleep(seconds: float | SupportsIndex) -> None:
    """By a deadline on a clock that libfaketime takes for one that it may set back: clock_nanosleep(2) then refuses."""
    select.select([], [], [], float(seconds))


def run(words: list[str]) -> None:
    years, library, notes = int(words[0]), Path(words[1]), Path(words[2])
    back = _ClockBack(years, library, notes)
    time.sleep = sleep
    Sandbox.run = functools.partialmethod(_passed_on, back.ran)  # type: ignore[assignment]
    Sandbox.settle = functools.partialmethod(_passed_on, back.settled)  # type: ignore[assignment]
    sys.argv[1:] = words[3:]
    main()


if __name__ == "__main__":
    if "FAKETIME" not in os.environ:
        env = {**os.environ, **environment(int(sys.argv[1]), sys.argv[2])}
        sys.exit(subprocess.run([sys.executable, *sys.argv], env=env).returncode)
    run(sys.argv[1:])

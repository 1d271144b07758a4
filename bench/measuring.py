"""What the scripts here share: a program's seconds, our own builds and their phases, the machine, the table."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = Path("/var/tmp")  # noqa: S108 - each run makes a folder of its own below
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]


@dataclass(frozen=True)
class Took:
    """Wall-clock and CPU seconds of a program and of all that it waited for."""

    wall: float
    cpu: float


@dataclass
class Build:
    """One of our builds: the whole, its phases in seconds of the clock, and its steps."""

    took: Took
    phases: dict[str, float] = field(default_factory=dict)
    steps: dict[str, Took] = field(default_factory=dict)


class FailedError(Exception):
    """A program did not do what was to be measured; the text has the end of what it said."""


def timed(argv: Sequence[str], log: Path, env: dict[str, str] | None = None, cwd: Path | None = None) -> Took:
    """Run `argv`, what it says into `log`. Raises FailedError."""
    with log.open("wb") as output:
        start = time.perf_counter()
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=env, cwd=cwd
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        end = log.read_text(errors="replace")[-3000:]
        raise FailedError(f"{argv[0]} ended with status {process.returncode}; the end of {log}:\n{end}")
    return Took(wall, usage.ru_utime + usage.ru_stime)


def build(argv: Sequence[str], log: Path) -> Build:
    """Our build with `argv`, which asks for `--json-events`. CPU seconds of a step are its own only where steps do not
    run side by side (`--workers 1`), and begin after the check of its inputs, which its seconds of the clock have.
    Raises FailedError."""
    made = Build(Took(0, 0))
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    with log.open("w+") as errors:
        start, before = time.perf_counter(), 0.0
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, env=env, text=True
        )
        assert process.stdout is not None
        for line in process.stdout:
            event = json.loads(line)
            if event["event"] == "phase-finished":
                made.phases[event["phase"]] = event["seconds"]
            elif event["event"] == "step-started":
                before = cpu_so_far(process.pid)
            elif event["event"] == "step-finished":
                if event["outcome"] != "ran":
                    raise FailedError(f"step {event['step']}: {event['outcome']}; that is no cold build")
                made.steps[event["step"]] = Took(event["seconds"], cpu_so_far(process.pid) - before)
        _, status, usage = os.wait4(process.pid, 0)
        made.took = Took(time.perf_counter() - start, usage.ru_utime + usage.ru_stime)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            errors.seek(0)
            raise FailedError(errors.read()[-3000:])
    return made


def cpu_so_far(pid: int) -> float:
    """CPU seconds of a running process, of what it started, and of those of them that have ended (proc(5), stat)."""
    ticks, processes = 0, [pid]
    while processes:
        process = Path("/proc") / str(processes.pop())
        with suppress(OSError):
            ticks += sum(int(word) for word in (process / "stat").read_text().rpartition(")")[2].split()[11:15])
            for thread in (process / "task").iterdir():
                processes += [int(word) for word in (thread / "children").read_text().split()]
    return ticks / os.sysconf("SC_CLK_TCK")


def in_turns(rounds: int, contenders: Mapping[str, Callable[[], Took]]) -> None:
    """A B A B, so that what else the machine does meets all of them. One that fails is left out from then on; Ctrl-C
    ends the rounds, and what was measured until then counts."""
    left_out = set[str]()
    with suppress(KeyboardInterrupt):
        for number in range(rounds):
            for name in [name for name in contenders if name not in left_out]:
                print(f"round {number + 1} of {rounds}: {name}, load {os.getloadavg()[0]:.1f}", end="", file=sys.stderr)
                sys.stderr.flush()
                try:
                    took = contenders[name]()
                    print(f": {took.wall:.1f} s, {took.cpu:.1f} CPU s", file=sys.stderr)
                except FailedError as error:
                    print(f": left out: {error}", file=sys.stderr)
                    left_out.add(name)


def table(rows: dict[str, list[Took]], base: str) -> None:
    """Medians, the best, and how much more or less than `base` each took."""
    if not rows.get(base):
        return
    of_base = middle(rows[base])
    width = max(len(name) for name in rows)
    print(f"{'':<{width}}  runs   seconds     best       CPU   × seconds   × CPU")
    for name, runs in rows.items():
        if runs:
            all_of, best = middle(runs), min(one.wall for one in runs)
            ratios = f"{all_of.wall / of_base.wall:10.2f}  {all_of.cpu / of_base.cpu:6.2f}"
            print(f"{name:<{width}}  {len(runs):4}  {all_of.wall:8.1f} {best:8.1f}  {all_of.cpu:8.1f}  {ratios}")


def middle(runs: Sequence[Took]) -> Took:
    return Took(statistics.median(one.wall for one in runs), statistics.median(one.cpu for one in runs))


def phases(builds: Sequence[Build]) -> None:
    """Medians of our phases and, below them, of the steps: these run side by side, so they add up to more."""
    found: dict[str, list[float]] = defaultdict(list)
    for one in builds:
        for name, seconds in one.phases.items():
            found[f"phase  {name}"].append(seconds)
    for one in builds:
        for name, took in one.steps.items():
            found[f" step  {name}"].append(took.wall)
    for name, seconds_of_all in found.items():
        print(f"  {name:<30} {statistics.median(seconds_of_all):7.1f}")


def about(versions: Iterable[str], folder: Path) -> None:
    """What the numbers depend on."""
    words = ["git", "-c", f"safe.directory={ROOT}", "-C", str(ROOT), "describe", "--always", "--dirty", "--exclude=*"]
    commit = subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip() or "unknown"
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    kind = said(["stat", "--file-system", "--format=%T", str(folder)])
    print(
        f"{time.strftime('%Y-%m-%d')}, commit {commit}, {os.cpu_count()} processors, {memory:.0f} GiB of memory,",
        end=" ",
    )
    print(f"Linux {platform.release()}, Python {platform.python_version()}, working on {kind}")
    print("\n".join(versions))


def said(argv: Sequence[str]) -> str:
    """The first line that a program says, empty where it says none."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return (done.stdout.splitlines() or [""])[0].strip()

"""What a build has started and what still lives: by descent, by its marker, by the helper of this checkout."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from support.workshop import CHECKOUT

MARKER = "OIC_TEST_MARKER"
_HELPER = str(CHECKOUT / "src" / "os_image_composer" / "chroot" / "helper")


@dataclass(frozen=True)
class Seen:
    """`started` (clock ticks since boot) tells a process from a later one with its number: proc(5)."""

    pid: int
    started: int
    parent: int
    command: str
    environment: bytes

    @property
    def lives(self) -> bool:
        found = _look(Path("/proc", str(self.pid)))
        return found is not None and found.started == self.started


def family(pid: int) -> frozenset[Seen]:
    """A process and all that descend from it now. What is orphaned in a sandbox descends from its PID 1."""
    return _with_descendants(_all(), {pid})


def left_of(known: frozenset[Seen], marker: str) -> list[Seen]:
    """Those of `known` that live, and whatever else is marked or of this checkout, with all descendants. What another
    process of the same run of tests has started descends from that; what is left alone descends from nobody's."""
    everything = _all()
    others = {p.pid for p in _with_descendants(everything, _beside(everything))}
    named = {
        p.pid
        for p in everything
        if (_HELPER in p.command and p.pid not in others) or f"{MARKER}={marker}".encode() in p.environment
    }
    return sorted({p for p in known if p.lives} | _with_descendants(everything, named), key=lambda p: p.pid)


def _beside(everything: list[Seen]) -> set[int]:
    """The other processes that run tests of the same run (pytest-xdist)."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return set()
    return {p.pid for p in everything if p.parent == os.getppid() and p.pid != os.getpid()}


def _with_descendants(everything: list[Seen], pids: set[int]) -> frozenset[Seen]:
    found, size = set(pids), 0
    while len(found) > size:
        size = len(found)
        found |= {p.pid for p in everything if p.parent in found}
    return frozenset(p for p in everything if p.pid in found)


def _all() -> list[Seen]:
    found = (_look(folder) for folder in Path("/proc").iterdir() if folder.name.isdigit())
    return [p for p in found if p is not None]


def _look(folder: Path) -> Seen | None:
    """None for what has ended, also when nobody has fetched its status yet."""
    try:
        # The name, in parentheses, may hold anything.
        state, parent, *rest = (folder / "stat").read_text().rpartition(") ")[2].split()
        if state == "Z":
            return None
        command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        return Seen(int(folder.name), int(rest[17]), int(parent), command, _environment(folder))
    except (OSError, ValueError, IndexError):
        return None


def _environment(folder: Path) -> bytes:
    try:
        return (folder / "environ").read_bytes()
    except OSError:
        return b""

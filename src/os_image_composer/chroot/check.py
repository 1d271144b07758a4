"""What `doctor` looks at and what it says. Standard library only."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from enum import Enum
from pathlib import Path


class State(Enum):
    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True)
class Check:
    """One thing looked at: what was found, and the command that mends it where it is not `OK`."""

    name: str
    state: State
    found: str
    mend: str | None = None


@dataclass(frozen=True)
class HostFacts:
    """The host as it is looked at: `root` is where its files are, the rest describes the caller."""

    root: Path = Path("/")
    uid: int = 0
    gid: int = 0
    python: tuple[int, int, int] = (3, 11, 0)
    kernel: str = ""  # as uname -r says it

    @classmethod
    def of_this_process(cls) -> HostFacts:
        version = (sys.version_info.major, sys.version_info.minor, sys.version_info.micro)
        return cls(Path("/"), os.geteuid(), os.getegid(), version, os.uname().release)

    def text(self, path: str) -> str | None:
        """A small file of the host, stripped; None when it cannot be read."""
        try:
            return (self.root / path).read_text(errors="replace").strip()
        except OSError:
            return None

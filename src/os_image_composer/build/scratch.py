"""Folders for unfinished work, each locked by the build that uses it, so that a killed build's can be told apart."""

from __future__ import annotations

import contextlib
import fcntl
import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

_OURS = re.compile(r"(discarded-)?[0-9a-f]{16}")


class Scratch:
    """Folders `root/<name>`, each with a lock `root/<name>.lock` that is held while its build lives. `remove` takes
    away folders whose files may belong to subordinate ids."""

    def __init__(self, root: Path, remove: Callable[[Sequence[Path]], None]) -> None:
        self.root = root
        self._remove = remove

    @contextlib.contextmanager
    def folder(self, name: str | None = None) -> Iterator[Path]:
        """A fresh folder; removed at the end whatever happens, or by `sweep` after a kill."""
        folder = self.root / (name or secrets.token_hex(8))
        lock = self.root / f"{folder.name}.lock"
        with lock.open("w") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            folder.mkdir(mode=0o700)
            try:
                yield folder
            finally:
                self._remove([folder])
                lock.unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove what builds left behind that no longer live."""
        # Folders first, locks after: a lock is held before its folder is made, so a folder seen here whose lock
        # is free, or gone, belongs to nobody.
        # Only names that are given here: whatever else lies in the folder is somebody's.
        folders = [p for p in self.root.iterdir() if _OURS.fullmatch(p.name)]
        with contextlib.ExitStack() as held:
            dead = [p for p in folders if self._abandoned(self.root / f"{p.name}.lock", held)]
            if dead:
                self._remove(dead)
            for folder in dead:
                (self.root / f"{folder.name}.lock").unlink(missing_ok=True)

    @staticmethod
    def _abandoned(lock: Path, held: contextlib.ExitStack) -> bool:
        try:
            stream = held.enter_context(lock.open("r+"))
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except FileNotFoundError:
            return True
        except BlockingIOError:
            return False
        return True

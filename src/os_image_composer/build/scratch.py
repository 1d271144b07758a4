"""Folders for unfinished work, each locked by the build that uses it, so that a killed build's can be told apart."""

from __future__ import annotations

import contextlib
import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from os_image_composer.build.flock import open_locked

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
        lock = self._lock(folder.name)
        with open_locked(lock):
            folder.mkdir(mode=0o700)
            try:
                yield folder
            finally:
                self._remove([folder])
                lock.unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove what builds left behind that no longer live."""
        # A lock is held before its folder is made and as long as it is there: what has none belongs to nobody.
        # Only names that are given here: whatever else lies in the folder is somebody's.
        names = {p.name.removesuffix(".lock") for p in self.root.iterdir()}
        with contextlib.ExitStack() as held:
            dead = [name for name in sorted(names) if _OURS.fullmatch(name) and self._abandoned(name, held)]
            if dead:
                self._remove([self.root / name for name in dead])
            for name in dead:
                self._lock(name).unlink(missing_ok=True)

    def _lock(self, name: str) -> Path:
        return self.root / f"{name}.lock"

    def _abandoned(self, name: str, held: contextlib.ExitStack) -> bool:
        """Whether no build holds this name; then it is held here, so that of two that sweep only one removes."""
        try:
            held.enter_context(open_locked(self._lock(name), wait=False))
        except BlockingIOError:
            return False
        return True

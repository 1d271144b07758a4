"""The newest date that the metadata of each suite has given: what makes an old one a rollback.

A suite is known by its repository's name and the keys that are pinned for it, not by a URL: another mirror of it does
not start anew, and a repository of somebody else's that goes by the same name does.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from os_image_composer.build.flock import open_locked
from os_image_composer.errors import StoreError
from os_image_composer.ospackage.cache import write_atomically, writing
from os_image_composer.ospackage.resolve import Repository


def memory_key(repository: Repository, suite: str) -> str:
    """`debian/trixie`, and a digest of the pinned keys."""
    pinned = " ".join(sorted(f.lower() for f in repository.fingerprints))
    return f"{repository.name}/{suite} {hashlib.sha256(pinned.encode()).hexdigest()[:16]}"


class NewestDates:
    """Kept in `<root>/newest-dates.json`. Dates are seconds since the epoch; keys are those of `memory_key`."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._file = root / "newest-dates.json"

    def of(self, key: str) -> int | None:
        return self._read().get(key)

    def note(self, dates: Mapping[str, int]) -> None:
        """Remember these dates where they are newer. Does not write where nothing changes."""
        if all(self._read().get(key, -1) >= date for key, date in dates.items()):
            return
        with writing(self._root):
            self._root.mkdir(parents=True, exist_ok=True)
            lock = open_locked(self._root / "newest-dates.lock")
        with lock:
            known = self._read()
            for key, date in dates.items():
                known[key] = max(date, known.get(key, -1))
            write_atomically(self._file, json.dumps(known, indent=1, sort_keys=True).encode() + b"\n")

    def _read(self) -> dict[str, int]:
        try:
            known = json.loads(self._file.read_text("utf-8"))
            return {str(key): int(date) for key, date in known.items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise StoreError(
                "metadata-state-damaged",
                f"cannot read {self._file}, which tells old metadata from new",
                cause=str(error),
                hint="remove it if you know why it is damaged; the next resolution then trusts the mirror's date",
            ) from error

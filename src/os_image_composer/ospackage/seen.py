"""The newest date that the metadata of each repository has given: what makes an older one a rollback."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from os_image_composer.build.flock import open_locked
from os_image_composer.errors import StoreError
from os_image_composer.ospackage.cache import write_atomically, writing


class NewestDates:
    """Kept in `<root>/newest-dates.json`. Dates are seconds since the epoch; keys are URLs of suites."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._file = root / "newest-dates.json"

    def of(self, suite_url: str) -> int | None:
        return self._read().get(suite_url)

    def note(self, dates: Mapping[str, int]) -> None:
        """Remember these dates where they are newer. Does not write where nothing changes."""
        if all(self._read().get(url, -1) >= date for url, date in dates.items()):
            return
        with writing(self._root):
            self._root.mkdir(parents=True, exist_ok=True)
            lock = open_locked(self._root / "newest-dates.lock")
        with lock:
            known = self._read()
            for url, date in dates.items():
                known[url] = max(date, known.get(url, -1))
            write_atomically(self._file, json.dumps(known, indent=1, sort_keys=True).encode() + b"\n")

    def _read(self) -> dict[str, int]:
        try:
            known = json.loads(self._file.read_text("utf-8"))
            return {str(url): int(date) for url, date in known.items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise StoreError(
                "metadata-state-damaged",
                f"cannot read {self._file}, which tells old metadata from new",
                cause=str(error),
                hint="remove it if you know why it is damaged; the next resolution then trusts the mirror's date",
            ) from error

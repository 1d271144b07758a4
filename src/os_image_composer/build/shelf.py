"""Where finished artifacts lie: the store keeps the digest of an image, the user keeps its bytes.

`published.json` in the store remembers size and times of every file that was published, so that an unchanged one is
known again without reading it, and one that lies elsewhere can be copied instead of built. The time of the last change
of status counts too: whoever writes into a file can give it any other time, and not that one.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from os_image_composer.build.canonical import sha256_file
from os_image_composer.build.flock import locked
from os_image_composer.build.sparse import copy_data
from os_image_composer.errors import StepError

_LITTLE = 8 << 20  # bytes


@dataclass(frozen=True)
class Shelf:
    """`staging` is the folder in which artifacts are written, `output` the one in which they are published; `names`
    has the file name of each step that makes one."""

    index: Path
    staging: Path
    output: Path
    names: Mapping[str, str]

    def staged(self, step: str) -> Path:
        """Where the step writes its file."""
        return self.staging / self.names[step]

    def wanted(self, step: str) -> Path:
        """Where that file is published, if it is."""
        return self.output / self.names[step]

    def find(self, step: str, sha256: str, size: int) -> Path | None:
        """A file with these bytes: the published one first, else another place where it was published."""
        known = self._read().get(sha256, [])
        staged = self.staged(step)  # by an attempt of this build that is made again
        if staged.is_file() and staged.stat().st_size == size and sha256_file(staged) == sha256:
            return staged
        for path in [self.wanted(step), *(Path(str(entry["path"])) for entry in known)]:
            with contextlib.suppress(OSError):
                status = path.stat()
                if status.st_size != size:
                    continue
                if _times(status) in [(e.get("mtime_ns"), e.get("ctime_ns")) for e in known]:
                    return path
                if sha256_file(path) == sha256:
                    self.note(path, sha256)
                    return path
        return None

    def note(self, path: Path, sha256: str) -> None:
        """Remember that `path` now has these bytes."""
        status = path.stat()
        with locked(self.index.with_suffix(".lock")):
            entries = self._read()
            places = [e for e in entries.get(sha256, []) if e["path"] != str(path)]
            mtime, ctime = _times(status)
            places.insert(0, {"path": str(path), "size": status.st_size, "mtime_ns": mtime, "ctime_ns": ctime})
            entries[sha256] = places[:8]
            temporary = self.index.with_name(f".{self.index.name}.{secrets.token_hex(4)}")
            temporary.write_text(json.dumps(entries, indent=1, sort_keys=True))
            temporary.replace(self.index)

    def _read(self) -> dict[str, list[dict[str, int | str]]]:
        """What is damaged counts as not there: the image is then known by its bytes, or made again."""
        try:
            value = json.loads(self.index.read_text())
        except (OSError, ValueError):
            return {}
        if not isinstance(value, dict):
            return {}
        return {
            digest: [e for e in places if isinstance(e, dict) and isinstance(e.get("path"), str)]
            for digest, places in value.items()
            if isinstance(places, list)
        }


def _times(status: os.stat_result) -> tuple[int, int]:
    return status.st_mtime_ns, status.st_ctime_ns


def is_full(folder: Path) -> bool:
    """Whether there is no room for more than some lines."""
    return shutil.disk_usage(folder).free < _LITTLE


def output_full(staged: Path) -> StepError:
    """Of a file in a staging folder, for which there was no room."""
    return StepError(
        "output-full",
        f"no space is left in {staged.parent.parent}, where the image is written",
        hint="free some, or give --output, or --work-dir, a folder with more room",
    )


def copy_sparse(source: Path, target: Path) -> None:
    """Copy a file, for its owner only, who may run it where they might before, and leave its holes holes."""
    with source.open("rb") as reader, target.open("wb") as writer:
        status = os.fstat(reader.fileno())
        target.chmod(0o600 | status.st_mode & stat.S_IXUSR)
        writer.truncate(status.st_size)
        copy_data(reader, writer)

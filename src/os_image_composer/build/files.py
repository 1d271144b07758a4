"""A step's result that is a folder of files of the caller's own: its fingerprint, and its digest."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from os_image_composer.build.canonical import sha256_file

Entry = tuple[str, Path, os.stat_result]  # the name below the folder, with `/`; the path; not through links


def entries(folder: Path) -> Iterator[Entry]:
    """What is below `folder`, in the order of names, folders before what they hold. Links are not followed."""
    yield from _below(folder, "")


def files_fingerprint(folder: Path | None) -> str:
    """Names, types, sizes and times of a result; a text that no result has where it is not there."""
    if folder is None or not is_folder(folder):
        return "no folder"
    rows = []
    for name, _, status in entries(folder):
        row = f"{name}\0{status.st_mode:o}"
        if not stat.S_ISDIR(status.st_mode):
            row += f"\0{status.st_size}\0{status.st_mtime_ns}"
        rows.append(row + "\n")
    return hashlib.sha256("".join(rows).encode()).hexdigest()


def files_digest(folder: Path) -> str:
    """Hex SHA-256 over the names and contents of the files below `folder`; of what is neither file nor folder, which no
    step leaves, over its type, so that one in a file's place is noticed."""
    rows = []
    for name, path, status in entries(folder):
        if stat.S_ISREG(status.st_mode):
            rows.append(f"{name}\0{sha256_file(path)}\n")
        elif not stat.S_ISDIR(status.st_mode):
            rows.append(f"{name}\0{stat.S_IFMT(status.st_mode):o}\n")
    return hashlib.sha256("".join(rows).encode()).hexdigest()


def _below(folder: Path, prefix: str) -> Iterator[Entry]:
    for entry in sorted(os.scandir(folder), key=lambda e: e.name):
        status = entry.stat(follow_symlinks=False)
        name = f"{prefix}{entry.name}"
        yield name, Path(entry.path), status
        if stat.S_ISDIR(status.st_mode):
            yield from _below(Path(entry.path), f"{name}/")


def is_folder(path: Path) -> bool:
    """A link to one is none: what it leads to is not the store's."""
    return path.is_dir() and not path.is_symlink()

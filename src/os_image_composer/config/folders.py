"""A folder of the build host that a template copies into the image, as the files in it."""

from __future__ import annotations

import os
import posixpath
import stat
from collections.abc import Iterator
from pathlib import Path

from pydantic_core import PydanticCustomError

from os_image_composer.config.system_rules import additional_file

__all__ = ["MAX_FILES", "faults_in_folder", "files_in_folder"]

MAX_FILES = 10_000


def files_in_folder(local: Path, final: str) -> Iterator[tuple[Path, str]]:
    """Each file below `local` with its place in the image, in the order of the names. Raises OSError."""
    for path, mode in _entries(local):
        if not stat.S_ISDIR(mode):
            yield path, posixpath.join(final, path.relative_to(local).as_posix())


def faults_in_folder(local: Path, final: str) -> Iterator[tuple[str, str, str | None]]:
    """What of the folder cannot be copied: reference, message, hint. Raises OSError."""
    parents = set[Path]()
    empty = list[Path]()
    for number, (path, mode) in enumerate(_entries(local)):
        if number == MAX_FILES:
            yield "too-many-files", f"'{local}' holds more than {MAX_FILES} files", "make a package of them"
            return
        parents.add(path.parent)
        if stat.S_ISDIR(mode):
            empty.append(path)
        elif not stat.S_ISREG(mode):
            kind = "a symbolic link" if stat.S_ISLNK(mode) else "neither a file nor a folder"
            hint = "make it with a command of configurations: ln -s" if stat.S_ISLNK(mode) else None
            yield "not-a-file", f"'{path}' is {kind}", hint
        elif (fault := _place_fault(path, posixpath.join(final, path.relative_to(local).as_posix()))) is not None:
            yield "wrong-value", f"'{os.fsencode(path).decode('utf-8', 'replace')}' cannot be copied: {fault}", None
    for folder in [local, *empty]:
        if folder not in parents:
            yield "empty-folder", f"'{folder}' holds no file", "make it with a command of configurations: install -d"


def _entries(folder: Path) -> Iterator[tuple[Path, int]]:
    """All below `folder`, links not followed."""
    for path in sorted(folder.iterdir()):
        mode = path.lstat().st_mode
        yield path, mode
        if stat.S_ISDIR(mode):
            yield from _entries(path)


def _place_fault(path: Path, final: str) -> str | None:
    try:
        final.encode()
        additional_file(final)
        with path.open("rb"):
            return None
    except UnicodeEncodeError:
        return "its name is not UTF-8"
    except PydanticCustomError as error:
        return error.message()
    except OSError as error:
        return error.strerror

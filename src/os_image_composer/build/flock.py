"""Locks on files that several builds share: flock(2), on the file that has the name now.

A lock on a name that was removed or renamed while it was waited for protects nothing: the next one to come makes a new
file and locks that. So whoever gets a lock looks whether it still lies where it was opened, and begins again if not.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """The lock file `path`, made when it is missing, is held meanwhile; waits for who holds it."""
    with open_locked(path):
        yield


def open_locked(path: Path, *, wait: bool = True) -> BinaryIO:
    """The file `path`, made when it is missing, open for reading and appending, and locked until it is closed.
    Raises BlockingIOError where it is held by another and `wait` is false."""
    while True:
        file = path.open("a+b")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            if is_still(file, path):
                return file
        except BaseException:
            file.close()
            raise
        file.close()


def is_still(file: BinaryIO, path: Path) -> bool:
    """Whether `path` is the name of this open file."""
    try:
        there, here = path.stat(), os.fstat(file.fileno())
    except FileNotFoundError:
        return False
    return (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino)

"""Verbs on single files of a tree, which is this process's root: no path can lead out of it."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Sequence
from typing import Any

from .patterns import glob as find
from .request import Channel, Refused, Request
from .walk import clear, ensure_directory, place

_CHUNK = 1 << 20


def glob(request: Request, fds: Sequence[int], channel: Channel) -> None:
    found = {path for pattern in request["options"]["patterns"] for path in find(pattern)}
    channel.tell({"paths": sorted(found, key=os.fsencode)})


def read(request: Request, fds: Sequence[int], channel: Channel) -> None:
    """One message a file, in order, its content cut into pieces; what is missing or no regular file is left out."""
    limit = request["options"]["limit"]
    for name in request["options"]["paths"]:
        try:
            flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
            fd = os.open(place(name), flags)
        except OSError:
            continue
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                continue
            if limit is not None and status.st_size > limit:
                raise Refused("file-too-large", f"{name} has {status.st_size} bytes, more than {limit}")
            channel.tell({"file": name})
            while chunk := os.read(fd, _CHUNK):
                channel.tell({}, chunk)
        finally:
            os.close(fd)


def edit(request: Request, fds: Sequence[int], channel: Channel) -> None:
    for change in request["options"]["edits"]:
        _EDITS[change["kind"]](change, channel)


def _write(change: dict[str, Any], channel: Channel) -> None:
    """A new file takes the place of what is there: another name of it keeps what it had."""
    path = _clear_place(change["path"])
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        _receive(fd, change["size"], channel)
        os.fchown(fd, change["uid"], change["gid"])
        os.fchmod(fd, change["mode"])
    finally:
        os.close(fd)


def _rewrite(change: dict[str, Any], channel: Channel) -> None:
    fd = os.open(place(change["path"]), os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        _receive(fd, change["size"], channel)
    finally:
        os.close(fd)


def _receive(fd: int, left: int, channel: Channel) -> None:
    """Write the next `left` bytes of the data."""
    while left:
        view = memoryview(channel.receive(min(left, _CHUNK)))
        left -= len(view)
        while view:
            view = view[os.write(fd, view) :]


def _symlink(change: dict[str, Any], channel: Channel) -> None:
    os.symlink(change["target"], _clear_place(change["path"]))


def _directory(change: dict[str, Any], channel: Channel) -> None:
    path = place(change["path"])
    ensure_directory(path)
    if change["uid"] is not None:
        os.chown(path, change["uid"], change["gid"])
    if stat.S_IMODE(os.stat(path).st_mode) != change["mode"]:
        os.chmod(path, change["mode"])


def _remove(change: dict[str, Any], channel: Channel) -> None:
    for name in find(change["pattern"]):
        path = "/" + name
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):  # below one that is gone already
            if not stat.S_ISDIR(os.lstat(path).st_mode):
                os.unlink(path)
                continue
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                clear(fd)
            finally:
                os.close(fd)
            os.rmdir(path)


def _clear_place(name: str) -> str:
    """The path of a new file or symlink: its parents are there, and nothing has its name."""
    path = place(name)
    ensure_directory(os.path.dirname(path))
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return path
    if stat.S_ISDIR(status.st_mode):
        raise Refused("is-a-directory", f"{name} is a directory")
    os.unlink(path)
    return path


_EDITS = {"write": _write, "rewrite": _rewrite, "symlink": _symlink, "directory": _directory, "remove": _remove}

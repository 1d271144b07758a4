"""Verbs on whole layers: remove them, copy a part of a tree into a new one."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence

from .patterns import glob
from .request import Channel, Refused, Request
from .walk import clear, kept_xattrs, walk

_CHUNK = 1 << 20


def remove(request: Request, fds: Sequence[int], channel: Channel) -> None:
    """Empty each directory; the build process removes the directory itself, whose parent is the caller's."""
    for index in request["options"]["paths"]:
        folder = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=fds[index])
        try:
            clear(folder)
        finally:
            os.close(folder)


def project(request: Request, fds: Sequence[int], channel: Channel) -> None:
    """Copy what matches, directories with all below them, and the parents that lead there."""
    copy = _Projection(fds[request["options"]["into"]])
    for pattern in request["options"]["patterns"]:
        for path in glob(pattern):
            for found, _ in list(walk(copy.lead_to("/" + path))):
                copy.take(found)
    copy.finish()


class _Projection:
    """A copy below `into`. Only real paths are written (symlinks on the way are copied themselves), so no name
    in the new tree is ever resolved."""

    def __init__(self, into: int) -> None:
        self.into = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=into)
        self.done: set[str] = set()
        self.inodes: dict[tuple[int, int], str] = {}
        self.directories: list[tuple[str, os.stat_result]] = []

    def lead_to(self, path: str, depth: int = 0) -> str:
        """Copy the parents of `path`; gives where it really is."""
        if depth > 40:
            raise Refused("symlink-loop", f"too many symlinks at {path}")
        real = ""
        names = [name for name in path.split("/") if name not in ("", ".")]
        for position, name in enumerate(names):
            if name == "..":
                real = os.path.dirname(real)
                continue
            here = f"{real}/{name}"
            last = position == len(names) - 1
            if last:
                return here
            self.take(here)
            if os.path.islink(here):
                target = os.path.join(real or "/", os.readlink(here))
                return self.lead_to("/".join([target, *names[position + 1 :]]), depth + 1)
            real = here
        return real or "/"

    def take(self, path: str) -> None:
        """Copy one entry; its parents are there."""
        if path in self.done or path == "/":
            return
        self.done.add(path)
        status = os.lstat(path)
        name = path.lstrip("/")
        if stat.S_ISDIR(status.st_mode):
            os.mkdir(name, 0o700, dir_fd=self.into)
            self.directories.append((name, status))
        elif stat.S_ISLNK(status.st_mode):
            os.symlink(os.readlink(path), name, dir_fd=self.into)
            self._own(name, status)
        elif stat.S_ISREG(status.st_mode):
            self._copy(path, name, status)
        else:
            raise Refused("not-a-file", f"{path} is a special file and cannot be projected")

    def _copy(self, path: str, name: str, status: os.stat_result) -> None:
        key = (status.st_dev, status.st_ino)
        if status.st_nlink > 1 and key in self.inodes:
            os.link(self.inodes[key], name, src_dir_fd=self.into, dst_dir_fd=self.into, follow_symlinks=False)
            return
        self.inodes[key] = name
        source = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        target = os.open(name, flags, 0o600, dir_fd=self.into)
        try:
            while chunk := os.read(source, _CHUNK):
                view = memoryview(chunk)
                while view:
                    view = view[os.write(target, view) :]
            os.fchown(target, status.st_uid, status.st_gid)
            os.fchmod(target, stat.S_IMODE(status.st_mode))
            for attribute, value in kept_xattrs(path):
                os.setxattr(target, attribute, value)
            os.utime(target, ns=(status.st_mtime_ns, status.st_mtime_ns))
        finally:
            os.close(source)
            os.close(target)

    def _own(self, name: str, status: os.stat_result) -> None:
        os.chown(name, status.st_uid, status.st_gid, dir_fd=self.into, follow_symlinks=False)
        if not stat.S_ISLNK(status.st_mode):
            os.chmod(name, stat.S_IMODE(status.st_mode), dir_fd=self.into)
        times = (status.st_mtime_ns, status.st_mtime_ns)
        os.utime(name, ns=times, dir_fd=self.into, follow_symlinks=False)

    def finish(self) -> None:
        """Owners, modes and times of directories, when nothing is put into them any more."""
        for name, status in reversed(self.directories):
            fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self.into)
            for attribute, value in kept_xattrs("/" + name):
                os.setxattr(fd, attribute, value)
            os.close(fd)
            self._own(name, status)
        times = (0, os.lstat("/").st_mtime_ns)
        os.utime(self.into, ns=times)

"""Unpack archives over one another into a directory, which is this process's root meanwhile.

As the family's own tools do: a symlink to a directory stays where an archive has a directory, parents are
followed through symlinks (inside), a file replaces a file. Owner, mode, mtime, hard links and extended attributes
are kept. Format: pax(1) of POSIX.1-2017 and the GNU tar manual, as far as Python's tarfile reads them; extended
attributes are PAX records `SCHILY.xattr.NAME`.

The data is a number of archives, each the chunks (length as 4 bytes, big-endian, then the bytes) up to a chunk of
length 0.
"""

from __future__ import annotations

import io
import os
import stat
import struct
import tarfile
from collections.abc import Sequence
from typing import IO

from .request import Channel, Refused, Request
from .walk import ensure_directory, place, rooted

_CHUNK = 1 << 20
_LAST_ID = 65534  # 65535 is (uid_t) -1 for 16-bit calls, and ids above do not exist inside
# What tarfile raises for headers that are none; numbers of PAX records give the last ones.
_DAMAGED = (tarfile.TarError, EOFError, ValueError, LookupError, OverflowError, struct.error)
_XATTR = "SCHILY.xattr."
_ACCEPTED = ("user.", "system.posix_acl_", "security.capability")
_LEFT_OUT = ("security.", "trusted.", "system.")  # labels are computed, never taken over


class _Chunks(io.RawIOBase):
    """One archive of the data as a stream."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.left = self._next()

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        parts = []
        while self.left and size:
            wanted = min(self.left, size) if size > 0 else self.left
            parts.append(self.channel.receive(wanted))
            self.left -= wanted
            size -= wanted if size > 0 else 0
            if not self.left:
                self.left = self._next()
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _next(self) -> int:
        (size,) = struct.unpack(">I", self.channel.receive(4))
        return int(size)


def unpack(request: Request, fds: Sequence[int], channel: Channel) -> None:
    with rooted(fds[request["options"]["paths"][0]]):
        target = _Target()
        for name in request["options"]["archives"]:
            stream = _Chunks(channel)
            try:
                # The encoding is given, as its module must not be looked for now.
                with tarfile.open(fileobj=stream, mode="r|", encoding="utf-8", bufsize=_CHUNK) as archive:
                    for member in archive:
                        target.take(archive, member, name)
            except _DAMAGED as error:
                raise Refused("archive-damaged", f"{name} is not a whole tar archive", str(error)) from None
            while stream.read(_CHUNK):
                pass
        target.finish()


class _Target:
    def __init__(self) -> None:
        self.parents: set[str] = set()
        self.times: dict[str, int] = {}
        self.outward: set[str] = set()

    def take(self, archive: tarfile.TarFile, member: tarfile.TarInfo, name: str) -> None:
        try:
            self._take(archive, member)
        except Refused as error:
            raise Refused(error.reference, f"{name}: {member.name}: {error.message}", error.cause) from None
        except OSError as error:
            raise Refused("unpack-failed", f"{name}: {member.name} cannot be written", error.strerror) from None

    def _take(self, archive: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        if member.name.startswith("/"):
            raise Refused("path-leads-out", "its name is absolute, as no package's is")
        path = place(member.name)
        if not (0 <= member.uid <= _LAST_ID and 0 <= member.gid <= _LAST_ID):
            raise Refused("id-out-of-range", f"owner {member.uid}:{member.gid} does not exist inside")
        if path == "/" and not member.isdir():
            raise Refused("path-leads-out", "the tree itself can only be a directory")
        attributes = _attributes(member)
        self._parent(os.path.dirname(path))
        if member.isdir():
            self._directory(path, member, attributes)
            return
        self._free(path)
        if member.issym():
            os.symlink(member.linkname, path)
            if _climbs_out(path, member.linkname):
                self.outward.add(path)
            os.chown(path, member.uid, member.gid, follow_symlinks=False)
            self._time(path, member)
        elif member.islnk():
            if member.linkname.startswith("/"):
                raise Refused("hard-link-leads-out", f"it is a hard link to the absolute name {member.linkname}")
            self._link(path, place(member.linkname))
        elif member.isreg():
            self._file(archive, path, member, attributes)
        elif member.isfifo():
            os.mkfifo(path, 0o600)
            self._own(path, member, attributes)
            self._time(path, member)
        else:
            raise Refused("device-node", "device nodes and unknown types are not unpacked")

    def _parent(self, folder: str) -> None:
        if folder not in self.parents:
            self._check_way(folder)
            ensure_directory(folder)
            self.parents.add(folder)

    def _check_way(self, folder: str) -> None:
        """A symlink that climbs out of the tree is kept as the text that it is, and ends at `/` on the machine; putting
        files through one is what only an attack does."""
        while self.outward and folder != "/":
            if folder in self.outward and os.path.islink(folder):
                raise Refused("path-leads-out", f"it would be put through {folder}, a symlink that leads out")
            folder = os.path.dirname(folder)

    def _free(self, path: str) -> None:
        try:
            status = os.lstat(path)
        except FileNotFoundError:
            return
        if stat.S_ISDIR(status.st_mode):
            raise Refused("is-a-directory", "a directory is in its place")
        os.unlink(path)
        if stat.S_ISLNK(status.st_mode):
            self.parents.clear()  # what led through it leads elsewhere now
            self.outward.discard(path)

    def _directory(self, path: str, member: tarfile.TarInfo, attributes: list[tuple[str, bytes]]) -> None:
        try:
            os.mkdir(path, 0o700)
        except FileExistsError:
            if os.path.islink(path):
                if os.path.isdir(path):
                    return  # as with /lib -> usr/lib: it stays, and so does what it points to
                raise Refused("not-a-directory", "a symlink that is no directory is in its place") from None
            if not os.path.isdir(path):
                raise Refused("not-a-directory", "something else is in its place") from None
        self._own(path, member, attributes)
        self.times[path] = _nanoseconds(member)

    def _file(
        self, archive: tarfile.TarFile, path: str, member: tarfile.TarInfo, attributes: list[tuple[str, bytes]]
    ) -> None:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            content = archive.extractfile(member)
            if content is not None and member.size:
                _copy(content, fd, member.size)
            os.fchown(fd, member.uid, member.gid)
            os.fchmod(fd, member.mode & 0o7777)
            for name, value in attributes:
                os.setxattr(fd, name, value)
            os.utime(fd, ns=(_nanoseconds(member), _nanoseconds(member)))
        finally:
            os.close(fd)

    def _link(self, path: str, target: str) -> None:
        try:
            status = os.lstat(target)
        except OSError:
            raise Refused("hard-link-leads-out", f"it is a hard link to {target}, which is not in the tree") from None
        if stat.S_ISDIR(status.st_mode):
            raise Refused("hard-link-leads-out", f"it is a hard link to {target}, which is a directory")
        os.link(target, path, follow_symlinks=False)

    def _own(self, path: str, member: tarfile.TarInfo, attributes: list[tuple[str, bytes]]) -> None:
        os.chown(path, member.uid, member.gid, follow_symlinks=False)
        os.chmod(path, member.mode & 0o7777)
        for name, value in attributes:
            os.setxattr(path, name, value, follow_symlinks=False)

    def _time(self, path: str, member: tarfile.TarInfo) -> None:
        os.utime(path, ns=(_nanoseconds(member), _nanoseconds(member)), follow_symlinks=False)

    def finish(self) -> None:
        """Times of directories, when nothing is put into them any more."""
        for path, time in self.times.items():
            if not os.path.islink(path):
                os.utime(path, ns=(time, time))


def _climbs_out(path: str, target: str) -> bool:
    """Whether a relative symlink has more `..` than there are folders above it, before any link on the way counts."""
    depth = 0 if target.startswith("/") else path.count("/") - 1
    for part in target.split("/"):
        depth += -1 if part == ".." else part not in ("", ".")
        if depth < 0:
            return True
    return False


def _nanoseconds(member: tarfile.TarInfo) -> int:
    return round(member.mtime * 1_000_000_000)


def _attributes(member: tarfile.TarInfo) -> list[tuple[str, bytes]]:
    found = []
    for key, text in sorted(member.pax_headers.items()):
        if not key.startswith(_XATTR):
            continue
        name = key.removeprefix(_XATTR)
        if name.startswith("user.overlay."):
            raise Refused("overlay-attribute", f"it carries {name}, which is for layers alone")
        if name.startswith(_ACCEPTED):
            found.append((name, text.encode("utf-8", "surrogateescape")))
        elif not name.startswith(_LEFT_OUT):
            raise Refused("unknown-attribute", f"it carries {name}, which no filesystem keeps")
    return found


def _copy(content: IO[bytes], fd: int, size: int) -> None:
    left = size
    while left:
        view = memoryview(content.read(min(left, _CHUNK)))
        if not view:
            raise Refused("archive-damaged", "the archive ends inside it")
        left -= len(view)
        while view:
            view = view[os.write(fd, view) :]

"""Go through a tree in one order, whatever the directory's own: by the bytes of the names."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator

from .request import Refused

#: What an image may hold beside security labels, which are computed: xattr(7), capabilities(7), acl(5).
_KEPT_NAMES = ("security.capability", "system.posix_acl_access", "system.posix_acl_default")
_OVERLAY_PREFIX = "user.overlay."


@contextlib.contextmanager
def rooted(fd: int) -> Iterator[None]:
    """`fd` is this process's root directory meanwhile: every path is resolved inside it."""
    before = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    os.fchdir(fd)
    os.chroot(".")
    try:
        yield
    finally:
        os.fchdir(before)
        os.chroot(".")
        os.close(before)


def walk(top: str = "/") -> Iterator[tuple[str, os.stat_result]]:
    """Everything below `top` and `top` itself, parents first. Does not follow symlinks or leave the filesystem."""
    status = os.lstat(top)
    yield top, status
    if stat.S_ISDIR(status.st_mode):
        yield from _walk(top.rstrip("/"))


def _walk(folder: str) -> Iterator[tuple[str, os.stat_result]]:
    with os.scandir(folder or "/") as entries:
        found = sorted(entries, key=lambda entry: os.fsencode(entry.name))
    for entry in found:
        path = f"{folder}/{entry.name}"
        status = entry.stat(follow_symlinks=False)
        yield path, status
        if stat.S_ISDIR(status.st_mode):
            yield from _walk(path)


def kept_xattrs(path: str) -> list[tuple[str, bytes]]:
    """The extended attributes that belong to the content, by name."""
    names = os.listxattr(path, follow_symlinks=False)
    if not names:
        return []
    kept = sorted(n for n in names if n in _KEPT_NAMES or (n.startswith("user.") and not n.startswith(_OVERLAY_PREFIX)))
    return [(name, os.getxattr(path, name, follow_symlinks=False)) for name in kept]


def clear(folder: int) -> None:
    """Remove everything in an open directory, whatever the modes and however deep. What is gone meanwhile (the
    helper of a killed build clears its own) is no error."""
    with os.scandir(folder) as entries:
        found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name, directory in found:
        with contextlib.suppress(FileNotFoundError):
            if not directory:
                os.unlink(name, dir_fd=folder)
                continue
            fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
            try:
                clear(fd)
            finally:
                os.close(fd)
            os.rmdir(name, dir_fd=folder)


def ensure_directory(path: str, depth: int = 0) -> None:
    """Make `path` and its parents (0755, root), through symlinks even when what they point to is missing."""
    if depth > 40:
        raise Refused("symlink-loop", f"too many symlinks at {path}")
    try:
        found = os.stat(path)
    except FileNotFoundError:
        pass
    except NotADirectoryError:
        raise Refused("not-a-directory", f"a parent of {path} is not a directory") from None
    else:
        if not stat.S_ISDIR(found.st_mode):
            raise Refused("not-a-directory", f"{path} is not a directory")
        return
    if os.path.islink(path):
        ensure_directory(os.path.join(os.path.dirname(path), os.readlink(path)), depth + 1)
        return
    ensure_directory(os.path.dirname(path) or "/", depth)
    os.mkdir(path, 0o755)


def place(name: str) -> str:
    """A name from outside as an absolute path inside. `..` is refused rather than resolved: nobody means it."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts or "\0" in name:
        raise Refused("path-leads-out", f"{name!r} leads out of the tree")
    return "/" + "/".join(parts)

"""Files kept by their SHA-256: packages and repository indexes.

    <root>/sha256/<first two digits>/<digest>   whole files, read-only
    <root>/partial/<digest>                     downloads that are not whole yet, locked while they grow

A name is a claim that is checked whenever the bytes are used: nothing is trusted because it is in a cache.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from os_image_composer.build.flock import is_still, open_locked
from os_image_composer.errors import StoreError, TrustError

BLOCK = 1 << 20
_DIGEST = re.compile(r"[0-9a-f]{64}")


class PackageCache:
    """The cache at `root`, which is made when the first file is added."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, sha256: str) -> Path:
        """Where the file of this digest is or would be."""
        if not _DIGEST.fullmatch(sha256):
            raise ValueError(f"not a SHA-256 digest: {sha256!r}")
        return self.root / "sha256" / sha256[:2] / sha256

    def has(self, sha256: str) -> bool:
        path = self.path(sha256)
        return path.is_file() or path.is_symlink()

    def add(self, temporary: Path, sha256: str) -> Path:
        """Take over a file whose bytes have this digest; the caller has just computed it. The file is renamed,
        so it must lie on the cache's file system, as the ones of `temporary_file` and `partial` do."""
        target = self.path(sha256)
        with writing(self.root):
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary.chmod(0o444)
            temporary.replace(target)
        return target

    def remove(self, sha256: str) -> None:
        with writing(self.root):
            self.path(sha256).unlink(missing_ok=True)

    def verified(self, sha256: str, size: int | None = None) -> Path:
        """The path, after all bytes were hashed. A file that differs is removed. Raises StoreError
        `not-cached` and TrustError `cached-file-changed`."""
        with self.open_verified(sha256, size):
            return self.path(sha256)

    def open_verified(self, sha256: str, size: int | None = None) -> BinaryIO:
        """The file, open at its start, after all bytes were hashed through this very descriptor."""
        path = self.path(sha256)
        try:
            # Not through a link: what it leads to can become something else when it was looked at.
            file = os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW), "rb")
        except FileNotFoundError as error:
            raise StoreError(
                "not-cached", f"no file with SHA-256 {sha256} in {self.root}", hint="fetch the packages first"
            ) from error
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
            self.remove(sha256)
            raise TrustError(
                "cached-file-changed",
                f"{path} is not what was put there",
                cause="a link has its name",
                hint="it was removed; run again to fetch it anew",
            ) from error
        actual_size = os.fstat(file.fileno()).st_size
        actual = hashlib.file_digest(file, "sha256").hexdigest() if size in (None, actual_size) else ""
        if actual != sha256:
            file.close()
            self.remove(sha256)
            raise TrustError(
                "cached-file-changed",
                f"{path} is not what was put there",
                cause=f"SHA-256 {actual}" if actual else f"{actual_size} bytes instead of {size}",
                hint="it was removed; run again to fetch it anew, and check the disk",
            )
        file.seek(0)
        return file

    @contextmanager
    def partial(self, sha256: str) -> Iterator[BinaryIO]:
        """The unfinished download of this digest, open for reading and appending, and locked: a second process
        that wants the same file waits here."""
        path = self.root / "partial" / self.path(sha256).name
        with writing(self.root):
            path.parent.mkdir(parents=True, exist_ok=True)
            file = open_locked(path)
        try:
            yield file
        finally:
            with writing(self.root), file:
                file.flush()
                if is_still(file, path) and path.stat().st_size == 0:
                    path.unlink()

    def partial_path(self, sha256: str) -> Path:
        return self.root / "partial" / self.path(sha256).name

    @contextmanager
    def temporary_file(self) -> Iterator[tuple[BinaryIO, Path]]:
        """A new file on the cache's file system that is gone afterwards unless it was added."""
        directory = self.root / "partial"
        with writing(self.root):
            directory.mkdir(parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(dir=directory, prefix="new-")
        path = Path(name)
        try:
            with os.fdopen(descriptor, "w+b") as file:
                yield file, path
        finally:
            path.unlink(missing_ok=True)


@contextmanager
def writing(root: Path) -> Iterator[None]:
    """Turns what a full or read-only disk says into a StoreError `cache-not-writable`."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise StoreError(
            "cache-full" if full else "cache-not-writable",
            f"cannot write to the cache {root}",
            cause=error.strerror,
            hint="name another cache directory in the settings" if not full else "free some space there",
        ) from error


def write_atomically(path: Path, data: bytes) -> None:
    """A small file that is either the old or the new one, never half of it."""
    with writing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".new-")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise

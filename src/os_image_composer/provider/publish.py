"""Put what was built where the user wants it: each file whole, the manifest last.

A build writes into a folder of its own inside the output folder, under a lock, and renames at the end. Other files in
the output folder are never touched.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from os_image_composer.build.canonical import sha256_text
from os_image_composer.build.events import Listener, Note
from os_image_composer.build.shelf import is_full, output_full
from os_image_composer.errors import StoreError


def own_folder(path: Path) -> None:
    """Make the cache, if it is not there, for its owner alone: the layers in it hold setuid programs, which would
    belong to the builder in the eyes of everybody else. Raises StoreError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)
        if not os.access(path, os.W_OK):
            number = errno.EROFS if os.statvfs(path).f_flag & os.ST_RDONLY else errno.EACCES
            raise OSError(number, os.strerror(number))
    except OSError as error:
        raise StoreError(
            "store-not-writable",
            f"cannot use {path} as the cache",
            cause=error.strerror,
            hint="set cache_dir in the settings, or give --cache-dir, to a folder you can write",
        ) from error


@contextlib.contextmanager
def staging(output: Path, locks: Path, listener: Listener) -> Iterator[Path]:
    """An empty folder inside the output folder, so on its filesystem, for as long as no other build of this cache
    writes there. `locks` is where the lock lies."""
    folder = output / ".staging"
    try:
        output.mkdir(parents=True, exist_ok=True)
        locks.mkdir(exist_ok=True)
        lock = (locks / f"{sha256_text(str(output.resolve()))[:16]}.lock").open("w")
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                listener(Note("info", f"another build writes to {output}; waiting for it"))
                fcntl.flock(lock, fcntl.LOCK_EX)
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(mode=0o700)
            held = contextlib.ExitStack()
            held.callback(shutil.rmtree, folder, ignore_errors=True)
            with held:
                try:
                    yield folder
                except OSError as error:
                    if error.errno != errno.ENOSPC or not is_full(folder):
                        raise
                    raise output_full(folder / "image") from error
    except (FileExistsError, NotADirectoryError, PermissionError) as error:
        if error.filename is None or not str(error.filename).startswith(str(output)):
            raise
        raise StoreError(
            "output-not-writable",
            f"cannot write images to {output}",
            cause=error.strerror,
            hint="give --output, or --work-dir, a folder you can write",
        ) from error


def checksums(digests: Mapping[str, str]) -> str:
    """As sha256sum(1) writes and checks it; `digests` are SHA-256 by file name."""
    return "".join(f"{digest}  {name}\n" for name, digest in sorted(digests.items()))


def publish(folder: Path, output: Path, names: Sequence[str]) -> None:
    """Move the finished files from `folder` to `output`, those of `names` that were made, in that order: images
    first, and last the manifest, which says that the others are whole. Nothing else there is touched."""
    for name in names:
        if (folder / name).exists():
            (output / name).parent.mkdir(exist_ok=True)
            (folder / name).replace(output / name)

"""Put what was built where the user wants it: all of it at once, or nothing.

A build writes into a staging folder beside the output folder, under a lock; publishing swaps the two. Files in the
output folder that no build of ours put there are carried over.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from os_image_composer.build.events import Listener, Note
from os_image_composer.build.exchange import exchange
from os_image_composer.errors import StoreError


def own_folder(path: Path) -> None:
    """Make the cache, if it is not there, for its owner alone: the layers in it hold setuid programs, which would
    belong to the builder in the eyes of everybody else. Raises StoreError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise StoreError(
            "store-not-writable",
            f"cannot use {path} as the cache",
            cause=error.strerror,
            hint="set cache_dir in the settings, or give --cache-dir, to a folder you can write",
        ) from error


@contextlib.contextmanager
def staging(output: Path, listener: Listener) -> Iterator[Path]:
    """An empty folder on the output's filesystem, for as long as no other build writes to the same output."""
    folder = output.parent / f".{output.name}.staging"
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        lock = (output.parent / f".{output.name}.lock").open("w")
    except OSError as error:
        raise StoreError(
            "output-not-writable",
            f"cannot write images to {output}",
            cause=error.strerror,
            hint="give --output, or --work-dir, a folder you can write",
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            listener(Note("info", f"another build writes to {output}; waiting for it"))
            fcntl.flock(lock, fcntl.LOCK_EX)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def publish(folder: Path, output: Path, manifest: str) -> None:
    """Make `folder` the output folder. `manifest` is the name of the file in it that lists what is ours."""
    if not output.exists():
        folder.rename(output)
        return
    if not output.is_dir():
        raise StoreError("output-not-a-folder", f"{output} is not a folder", hint="give --output another path")
    ours = _files_of(output, manifest)
    for entry in output.iterdir():
        if entry.name not in ours and not (folder / entry.name).exists():
            entry.rename(folder / entry.name)
    exchange(folder, output)


def place(image: Path, target: Path) -> None:
    """A second name for an image that lies in the output folder already."""
    if image != target:
        os.link(image, target)


def _files_of(output: Path, manifest: str) -> set[str]:
    try:
        value = json.loads((output / manifest).read_text())
        return {manifest, str(value["image"]["file"])}
    except (OSError, ValueError, KeyError, TypeError):
        return {manifest}

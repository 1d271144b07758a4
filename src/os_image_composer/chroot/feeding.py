"""The bytes that follow a request: archives read ahead in threads, contents of files."""

from __future__ import annotations

import os
import queue
import struct
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

from os_image_composer.chroot.job import Edit, MakeDirectory, MakeSymlink, Remove, Rewrite, WriteFile
from os_image_composer.chroot.tree import TarSource

_CHUNK = 1 << 20
_AHEAD = 8  # chunks of one archive
_AT_ONCE = 4  # archives


def archive_chunks(archives: Sequence[TarSource]) -> Iterator[bytes]:
    """The archives in order, framed as helper/inside/unpack.py reads them. Each next few are read (and
    decompressed) meanwhile. Raises what reading an archive raises."""
    at_once = min(_AT_ONCE, (os.cpu_count() or 1) + 1)
    waiting = deque(archives)
    running: deque[_Reader] = deque()
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                running.append(_Reader(waiting.popleft()))
            for chunk in running[0].chunks():
                yield struct.pack(">I", len(chunk))
                yield chunk
            running.popleft()
            yield struct.pack(">I", 0)
    finally:
        for reader in running:
            reader.cancel()


class _Reader:
    """One archive, read in a thread."""

    def __init__(self, archive: TarSource) -> None:
        self._queue: queue.Queue[bytes | BaseException] = queue.Queue(_AHEAD)
        self._cancelled = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(archive,), daemon=True)
        self._thread.start()

    def chunks(self) -> Iterator[bytes]:
        while True:
            item = self._queue.get()
            if isinstance(item, BaseException):
                raise item
            if not item:
                return
            yield item

    def cancel(self) -> None:
        self._cancelled.set()

    def _run(self, archive: TarSource) -> None:
        try:
            with archive.open() as stream:
                while chunk := stream.read(_CHUNK):
                    if not self._put(chunk):
                        return
            self._put(b"")
        except BaseException as error:
            self._put(error)

    def _put(self, item: bytes | BaseException) -> bool:
        while not self._cancelled.is_set():
            try:
                self._queue.put(item, timeout=0.2)
                return True
            except queue.Full:
                continue
        return False


def told(edit: Edit) -> dict[str, Any]:
    """An edit as helper/inside/files.py reads it; the content of a file follows the request."""
    match edit:
        case WriteFile(path, content, mode, uid, gid):
            size = len(content)
            return {"kind": "write", "path": path, "mode": mode, "uid": uid, "gid": gid, "size": size}
        case Rewrite(path, content):
            return {"kind": "rewrite", "path": path, "size": len(content)}
        case MakeDirectory(path, mode, uid, gid):
            return {"kind": "directory", "path": path, "mode": mode, "uid": uid, "gid": gid}
        case MakeSymlink(path, target):
            return {"kind": "symlink", "path": path, "target": target}
        case Remove(pattern):
            return {"kind": "remove", "pattern": pattern}


def contents(edits: Sequence[Edit]) -> Iterator[bytes]:
    """In the order of the edits."""
    return (edit.content for edit in edits if isinstance(edit, WriteFile | Rewrite))

"""Downloads into the cache: side by side, resumed, tried again, and checked before a file gets its name."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import BinaryIO
from urllib.parse import urlsplit

from os_image_composer.build.events import Listener, Note, Transferred, silent
from os_image_composer.errors import ComposerError, Origin, TrustError
from os_image_composer.ospackage.cache import BLOCK, PackageCache, writing
from os_image_composer.ospackage.lock import LockedPackage
from os_image_composer.ospackage.retry import first_that_works, retried
from os_image_composer.ospackage.transport import TransientFetchError, Transport

WORKERS = 8
_EVERY = 1 << 20  # bytes between two events


@dataclass(frozen=True)
class Wanted:
    """A file by the SHA-256 and size (bytes) it must have, and where it may be had, the preferred mirror first.
    `what` is its name for people, `origin` where somebody's file asks for it."""

    urls: tuple[str, ...]
    sha256: str
    size: int
    what: str
    origin: Origin | None = None


def fetch_packages(
    wanted: Sequence[tuple[tuple[str, ...], LockedPackage]],
    cache: PackageCache,
    transport: Transport,
    listener: Listener = silent,
    workers: int = WORKERS,
    pause: Callable[[float], None] = time.sleep,
    origin: Callable[[LockedPackage], Origin | None] = lambda _: None,
) -> None:
    """Have every package, given with its URLs, in the cache; `origin` gives a package's place in a lock that is
    somebody's file. Raises what `fetch_files` raises."""
    files = [Wanted(urls, p.sha256, p.size, f"{p.name} {p.version}", origin(p)) for urls, p in wanted]
    fetch_files(files, cache, transport, listener, workers, pause, "packages")


def fetch_files(
    wanted: Sequence[Wanted],
    cache: PackageCache,
    transport: Transport,
    listener: Listener = silent,
    workers: int = WORKERS,
    pause: Callable[[float], None] = time.sleep,
    together: str | None = None,
) -> None:
    """Have every file in the cache, each one's bytes checked in this call, also those that were there.

    A mirror that cannot be reached, does not have a file or has wrong bytes in it gives way to the next. Raises
    TrustError `wrong-bytes` for a file that is not what was signed, FetchError for what no mirror gives; then the
    other downloads are given up. `together` is what all of them are called where progress is told;
    without it the file that came last is named. Unfinished downloads are kept for the next try, wrong ones never.
    """
    unique = list({w.sha256: w for w in wanted}.values())
    run = _Run(cache, transport, listener, pause, sum(w.size for w in unique), len(unique), together)
    unique.sort(key=lambda w: -w.size)  # the longest first: the end of the run is then not one large file
    with ThreadPoolExecutor(max_workers=max(1, min(workers, len(unique)))) as pool:
        futures = [pool.submit(run.fetch, w) for w in unique]
        done, _ = wait(futures, return_when=FIRST_EXCEPTION)
        failed = [f for f in done if f.exception()]
        if failed:
            run.stop.set()
            for future in futures:
                future.cancel()
    for future in failed:
        future.result()


class _Run:
    """What the downloads of one call share."""

    def __init__(
        self,
        cache: PackageCache,
        transport: Transport,
        listener: Listener,
        pause: Callable[[float], None],
        total: int,
        files: int,
        together: str | None,
    ) -> None:
        self.cache, self.transport, self.listener, self.pause = cache, transport, listener, pause
        self.total, self.files, self.together = total, files, together
        self.received = 0
        self.stop = threading.Event()
        self.silent: set[str] = set()  # hosts that were not reached: asked last from then on
        self._lock = threading.Lock()

    def fetch(self, wanted: Wanted) -> None:
        if self._cached(wanted):
            return
        with self.cache.partial(wanted.sha256) as file:
            # Another process may have finished it while this one waited for the lock.
            if self._cached(wanted):
                return
            try:
                self._from_any(wanted, file)
            except ComposerError as error:
                error.origin = error.origin or wanted.origin
                raise

    def _from_any(self, wanted: Wanted, file: BinaryIO) -> None:
        def from_one(url: str, attempts: int) -> None:
            def once() -> None:
                self._download(wanted, url, file)

            retried(once, wanted.what, self.listener, self.pause, self.stop.is_set, attempts)

        def passed_over(url: str, error: ComposerError) -> None:
            if isinstance(error, TransientFetchError):
                self.silent.add(urlsplit(url).netloc)
            with writing(self.cache.root):
                file.truncate(0)  # whose bytes these are is not known any more

        urls = sorted(wanted.urls, key=lambda url: urlsplit(url).netloc in self.silent)
        first_that_works(urls, from_one, wanted.what, self.listener, passed_over, self.stop.is_set)

    def _cached(self, wanted: Wanted) -> bool:
        if not self.cache.has(wanted.sha256):
            return False
        try:
            self.cache.verified(wanted.sha256, wanted.size)
        except TrustError as error:
            self.listener(Note("warning", f"{wanted.what}: {error.message} ({error.cause}); fetching it again"))
            return False
        self._advance(wanted, wanted.size)
        return True

    def _download(self, wanted: Wanted, url: str, file: BinaryIO) -> None:
        path = self.cache.partial_path(wanted.sha256)
        digest, have = _hash_existing(file, wanted.size)
        counted = left = have
        self._advance(wanted, have)
        try:
            if have < wanted.size:
                with self.transport.open(url, limit=wanted.size, offset=have) as reply:
                    if reply.offset != have:  # the server does not know ranges: from the start
                        with writing(path.parent):
                            file.truncate(0)
                        digest, have, left = hashlib.sha256(), 0, 0
                    for chunk in reply.chunks:
                        if self.stop.is_set():
                            raise TransientFetchError("given-up", f"{wanted.what} was given up")
                        with writing(path.parent):
                            file.write(chunk)
                        digest.update(chunk)
                        have += len(chunk)
                        if have > counted:
                            self._advance(wanted, have - counted)
                            counted = have
            with writing(path.parent):
                file.flush()
            if have < wanted.size:
                cause = f"the connection ended after {have} of {wanted.size} bytes"
                raise TransientFetchError("mirror-unavailable", f"cannot fetch {url}", cause=cause)
            _check(wanted, url, digest.hexdigest(), file, left)
            self.cache.add(path, wanted.sha256)
        except BaseException:
            self._advance(wanted, -counted)
            raise

    def _advance(self, wanted: Wanted, count: int) -> None:
        with self._lock:
            before = self.received
            self.received += count
            received = self.received
        if received == self.total or received // _EVERY != before // _EVERY:
            self.listener(Transferred(self.together or wanted.what, received, self.total, self.files))


def _hash_existing(file: BinaryIO, size: int) -> tuple[hashlib._Hash, int]:
    """What an earlier try left. More than the whole file is nothing that one could go on with."""
    digest = hashlib.sha256()
    have = os.fstat(file.fileno()).st_size
    if have > size:
        file.truncate(0)
        return digest, 0
    file.seek(0)
    while block := file.read(BLOCK):
        digest.update(block)
    return digest, have


def _check(wanted: Wanted, url: str, actual: str, file: BinaryIO, left: int) -> None:
    """`left` bytes were there from an earlier try, of this mirror or another: nobody is blamed for these."""
    if actual != wanted.sha256:
        file.truncate(0)
        if left:
            raise TransientFetchError(
                "mirror-unavailable", f"cannot fetch {url}", cause=f"{left} bytes from an earlier try are wrong"
            )
        raise TrustError(
            "wrong-bytes",
            f"{url} is not the {wanted.what} that was signed",
            cause=f"SHA-256 {actual} instead of {wanted.sha256}",
            hint="nothing of it was kept; another mirror may be in order",
        )

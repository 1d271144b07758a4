"""The packages of a lock as files: fetched when a step first needs them, verified each time they are handed out."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from os_image_composer.build.events import Listener
from os_image_composer.chroot.services import PackageFile
from os_image_composer.ospackage.cache import PackageCache
from os_image_composer.ospackage.family import PackageFamily
from os_image_composer.ospackage.fetch import fetch_packages
from os_image_composer.ospackage.lock import Lock, LockedPackage
from os_image_composer.ospackage.transport import Transport


@dataclass(frozen=True)
class _Content:
    """One package's files as a tar stream, for the sandbox's `unpack`."""

    name: str
    path: Path
    family: PackageFamily

    def open(self) -> BinaryIO:
        return self.family.open_content(self.path)


class LockedPackages:
    """`chroot.services.Packages` over a lock, the download cache and the network; `mirrors` are further URLs by the
    name of a repository."""

    def __init__(
        self,
        lock: Lock,
        family: PackageFamily,
        cache: PackageCache,
        transport: Transport,
        listener: Listener,
        workers: int,
        mirrors: Mapping[str, Sequence[str]],
    ) -> None:
        self.lock = lock
        self.family = family
        self.cache = cache
        self.transport = transport
        self.listener = listener
        self.workers = workers
        self.mirrors = mirrors
        self._by_digest: dict[str, LockedPackage] = {
            p.sha256: p for packages in lock.sets.values() for p in packages.packages()
        }
        # Steps run side by side and share packages: one at a time, so that nothing is fetched twice.
        self._one = threading.Lock()

    def files(self, packages: Sequence[PackageFile]) -> Mapping[str, Path]:
        locked = [self._by_digest[p.sha256] for p in packages]
        wanted = [(self.lock.urls(p, self.mirrors), p) for p in locked]
        with self._one:
            fetch_packages(wanted, self.cache, self.transport, self.listener, self.workers)
        return {p.sha256: self.cache.path(p.sha256) for p in locked}

    def contents(self, packages: Sequence[PackageFile]) -> Sequence[_Content]:
        files = self.files(packages)
        return [_Content(f"{p.name} {p.version}", files[p.sha256], self.family) for p in packages]

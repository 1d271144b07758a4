"""The packages of a lock as files: fetched when a step first needs them, verified each time they are handed out."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from os_image_composer.build.events import Listener
from os_image_composer.chroot.services import PackageFile
from os_image_composer.errors import MetadataError, Origin, TrustError, UsageError
from os_image_composer.ospackage.cache import PackageCache
from os_image_composer.ospackage.family import PackageFamily
from os_image_composer.ospackage.fetch import fetch_packages
from os_image_composer.ospackage.lock import Lock, LockedPackage
from os_image_composer.ospackage.lock_file import LockFile
from os_image_composer.ospackage.openpgp import Keyring
from os_image_composer.ospackage.resolve import Repository
from os_image_composer.ospackage.tools_archive import TOOLS, ToolsArchive
from os_image_composer.ospackage.transport import Transport


@dataclass(frozen=True)
class _Content:
    """One package's files as a tar stream, for the sandbox's `unpack`."""

    name: str
    path: Path
    family: PackageFamily

    def open(self) -> BinaryIO:
        with _named(self.name, self.path):
            return self.family.open_content(self.path)


@dataclass(frozen=True)
class Source:
    """Whose packages a repository has, and where they and the keys for them come from."""

    family: PackageFamily
    repository: Repository
    keyring: Callable[[], Keyring]


@contextmanager
def _named(name: str, path: Path, origin: Origin | None = None) -> Iterator[None]:
    """Files of the cache are named after their digests, which tells nobody which package is meant."""
    try:
        yield
    except (MetadataError, TrustError) as error:
        error.message = error.message.replace(path.name, name)
        error.origin = error.origin or origin
        raise


class LockedPackages:
    """`chroot.services.Packages` over a lock, the download cache and the network; `sources` are by the name of a
    repository. What the `archive` of image tools has is taken from there, and no mirror is asked for it. What is wrong
    with a package is told with its line where the lock is a `file`."""

    def __init__(
        self,
        lock: Lock,
        sources: Mapping[str, Source],
        cache: PackageCache,
        transport: Transport,
        listener: Listener,
        workers: int,
        archive: Callable[[], ToolsArchive | None] = lambda: None,
        file: LockFile | None = None,
    ) -> None:
        self.file = file
        self.lock = lock
        self.sources = sources
        self.cache = cache
        self.transport = transport
        self.listener = listener
        self.workers = workers
        self.archive = archive
        self.mirrors = {name: source.repository.urls for name, source in sources.items()}
        self._by_digest: dict[str, LockedPackage] = {
            p.sha256: p for packages in lock.sets.values() for p in packages.packages()
        }
        # Steps run side by side and share packages: one at a time, so that nothing is fetched twice.
        self._one = threading.Lock()
        self._checked: set[str] = set()

    def files(self, packages: Sequence[PackageFile]) -> Mapping[str, Path]:
        locked = [self._by_digest[p.sha256] for p in packages]
        with self._one:
            archive = self.archive()
            if archive is not None:
                archive.bring([p for p in locked if archive.has(p.sha256)], self.cache)
            rest = [p for p in locked if archive is None or not archive.has(p.sha256)]
            for package in rest:
                self._source(package)
            wanted = [(self.lock.urls(p, self.mirrors), p) for p in rest]
            fetch_packages(wanted, self.cache, self.transport, self.listener, self.workers, origin=self._origin)
            for package in locked:
                self._check(package)
        return {p.sha256: self.cache.path(p.sha256) for p in locked}

    def contents(self, packages: Sequence[PackageFile]) -> Sequence[_Content]:
        files = self.files(packages)
        return [
            _Content(f"{p.name} {p.version}", files[p.sha256], self._source(self._by_digest[p.sha256]).family)
            for p in packages
        ]

    def _check(self, package: LockedPackage) -> None:
        """Once a build: the digest, which was just checked, stands for everything else about the file."""
        if package.sha256 not in self._checked:
            source = self._source(package)
            path = self.cache.path(package.sha256)
            with _named(f"{package.name} {package.version}", path, self._origin(package)):
                source.family.check_package(path, package, source.repository, source.keyring)
            self._checked.add(package.sha256)

    def _origin(self, package: LockedPackage) -> Origin | None:
        return self.file.package_origin(package.sha256) if self.file is not None else None

    def _source(self, package: LockedPackage) -> Source:
        archive = self.archive()
        name = package.repository.partition("/")[0]
        if archive is not None and archive.has(package.sha256):
            return self.sources[TOOLS]
        if name == TOOLS and self.cache.has(package.sha256):
            return self.sources[TOOLS]  # a bundle brought it
        if name not in self.sources or name == TOOLS:
            raise UsageError(
                "package-without-source",
                f"{package.name} {package.version} of the lock cannot be had",
                cause=f"the lock has it from {package.repository}, which is no repository of this build",
                hint="name the archive of image tools that the lock was made with in the settings (image_tools), or "
                "resolve again",
            )
        return self.sources[name]

"""From what is asked for to locked packages, and from these to files: what a target's repositories, keys and image
tools are needed for."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from os_image_composer.build.canonical import canonical_json, sha256_text
from os_image_composer.build.events import Note, PhaseFinished, PhaseStarted
from os_image_composer.chroot.services import PackageFile
from os_image_composer.config.distribution import Distribution, ImageTools
from os_image_composer.config.settings import Settings
from os_image_composer.config.spec import ImageSpec, PackageGroup, RequestedSuite, Target
from os_image_composer.errors import UsageError
from os_image_composer.image.identifiers import derived_uuid
from os_image_composer.image.room import check_room
from os_image_composer.ospackage.bundle import write_bundle
from os_image_composer.ospackage.cache import PackageCache
from os_image_composer.ospackage.family import family_for
from os_image_composer.ospackage.keys import keyring_of
from os_image_composer.ospackage.lock import Lock, LockedPackage, LockedRepository, PackageSet
from os_image_composer.ospackage.lock_file import LockFile
from os_image_composer.ospackage.mirrors import as_it_was, check_mirrors, repositories_for
from os_image_composer.ospackage.openpgp import Keyring
from os_image_composer.ospackage.resolve import Repository, SetRequest
from os_image_composer.ospackage.tools_archive import (
    FORMAT_TOOLS,
    TOOLS,
    ToolsArchive,
    check_free,
    unmarked,
    write_tools_archive,
)
from os_image_composer.ospackage.tools_index import ToolsIndex
from os_image_composer.ospackage.transport import HttpTransport, OfflineTransport, Transport
from os_image_composer.provider.image_tools import (
    archive_digest,
    archive_source,
    locked_tools,
    needs_format_tools,
    open_archive,
    tools_requests,
)
from os_image_composer.provider.implicit_lock import ImplicitLock
from os_image_composer.provider.lock_choice import ANY_LOCK, ChosenLock, LockChoice, explicit_lock, implicit_lock
from os_image_composer.provider.lock_fit import Asked, check_signers, differences
from os_image_composer.provider.lock_renewal import Keep, keeping, newest
from os_image_composer.provider.lock_renewal import as_it_was as as_it_was_then
from os_image_composer.provider.packages import LockedPackages, Source
from os_image_composer.provider.placed import placed_in_template
from os_image_composer.provider.services import Services

# Namespace of the seeds of locks: a random UUID, fixed for ever.
_SEEDS = "8f8a2f51-54d1-4cf5-9ec5-6c8f6a0c3f0e"


@dataclass(frozen=True)
class Demand:
    """Package sets that are resolved from one distribution's repositories."""

    distribution: Distribution
    repositories: tuple[Repository, ...]
    requests: tuple[SetRequest, ...]
    from_archive: bool = False  # of image tools: then there are no repositories


class Locking:
    """The packages of one target, with the settings of one user."""

    def __init__(
        self,
        target: Target,
        distribution: Distribution,
        tools: ImageTools,
        tools_distribution: Distribution,
        settings: Settings,
        services: Services,
    ) -> None:
        self.target, self.distribution = target, distribution
        self.tools, self.tools_distribution = tools, tools_distribution
        self.settings, self.services = settings, services
        self.tools_archive: Callable[[], ToolsArchive | None] = functools.cache(
            lambda: open_archive(settings, tools, tools_distribution)
        )

    # -- which lock ------------------------------------------------------------------------------------------

    def choose(self, spec: ImageSpec, choice: LockChoice = ANY_LOCK) -> ChosenLock:
        """The lock beside the template, or the last build's, or what the mirror has. Raises SolveError for packages
        that cannot be had, TemplateError when they do not fit their partition, and what `explicit_lock` raises."""
        demands, listener = self._demands(spec), self.services.listener
        file = explicit_lock(spec, choice, _asked(demands), listener)
        if file is not None:
            lock = file.lock
        else:
            key = _request_key(spec, demands, archive_digest(self.settings))
            kept = ImplicitLock(self.settings.cache_dir / "locks", key, self.services.clock)
            age = None if self.settings.offline else self.settings.metadata_max_age * 3600.0

            def resolve() -> Lock:
                return placed_in_template(spec, lambda: self._resolve(spec, demands))

            lock = implicit_lock(kept, age, choice.refresh, resolve, listener)
        check_room(spec, lock)
        return ChosenLock(lock, file)

    def renew(
        self, spec: ImageSpec, old: LockFile | None, *, update: bool, packages: tuple[str, ...], as_of: int | None
    ) -> Lock:
        """A lock for `spec`: `old` itself where that fits and nothing is to change; with `update` the newest of
        everything, with `packages` of these; `as_of` (seconds since the epoch) as it was then."""
        demands = self._demands(spec, as_of)

        def resolve(keep: Keep) -> Lock:
            kept = tuple(replace(d, requests=tuple(keep(r) for r in d.requests)) for d in demands)
            return placed_in_template(spec, lambda: self._resolve(spec, kept))

        if as_of is not None:
            lock = as_it_was_then(old.lock if old is not None else None, resolve)
        elif old is None or update:
            lock = newest(old.lock if old is not None else None, resolve)
        elif packages or differences(old, spec, _asked(demands)):
            lock = keeping(old.lock, packages, resolve)
        else:
            check_signers(old, _asked(demands))
            lock = old.lock
        check_room(spec, lock)
        return lock

    def format_tools(self, *, refresh: bool = False) -> ChosenLock:
        """The tools that pack images, without a template: those of the last time, or what the mirror has."""
        demands = self._tools_demands(FORMAT_TOOLS)
        digest = archive_digest(self.settings)
        asked = canonical_json([demands[0].requests, [r.name for r in demands[0].repositories], digest])
        key = f"{FORMAT_TOOLS}-{sha256_text(asked)[:16]}"
        kept = ImplicitLock(self.settings.cache_dir / "locks", key, self.services.clock)
        age = None if self.settings.offline else self.settings.metadata_max_age * 3600.0

        def resolve() -> Lock:
            return self._resolve_sets(demands, str(derived_uuid(_SEEDS, FORMAT_TOOLS)))

        return ChosenLock(implicit_lock(kept, age, refresh, resolve, self.services.listener))

    # -- files -----------------------------------------------------------------------------------------------

    def fetch(self, spec: ImageSpec, choice: LockChoice = ANY_LOCK) -> Lock:
        """Have every package that the lock names in the cache, checked as a build checks it, and the keys for that."""
        chosen = self.choose(spec, choice)
        with self.transport() as transport:
            packages = self.packages(spec, chosen, transport)
            for found in chosen.lock.sets.values():
                packages.files([PackageFile.of(p) for p in found.packages()])
        return chosen.lock

    def bundle(self, file: Path, spec: ImageSpec, choice: LockChoice = ANY_LOCK) -> int:
        """Write what a locked build fetches to `file`, which must not be there; how many packages that is."""
        check_free(file)
        chosen, used = self.choose(spec, choice), dict[str, Keyring]()
        with self.transport() as transport:
            packages = self._files(chosen, self._demands(spec), transport, used)
            wanted = [PackageFile.of(p) for found in chosen.lock.sets.values() for p in found.packages()]
            files = packages.files(wanted)
        keys = {name: b"".join(bytes(c) for c in keyring.certificates) for name, keyring in used.items()}
        write_bundle(file, chosen.lock, keys, files)
        return len(files)

    def packages(self, spec: ImageSpec, chosen: ChosenLock, transport: Transport) -> LockedPackages:
        """The packages of a lock as files."""
        return self._files(chosen, self._demands(spec), transport)

    def tools_packages(self, chosen: ChosenLock, transport: Transport) -> LockedPackages:
        """As `packages`, of a lock of `format_tools`, or of another one that has these."""
        return self._files(chosen, self._tools_demands(FORMAT_TOOLS), transport)

    def export_tools(self, file: Path, spec: ImageSpec | None = None, choice: LockChoice = ANY_LOCK) -> ToolsArchive:
        """Write the image tools of the lock of `spec`, or those that there are now, to `file`, which must not be there;
        the archive that the settings name is where they come from, if there is one. Raises what `choose` and fetching
        raise, and UsageError `file-exists`."""
        check_free(file)
        if spec is None:
            demands = self._tools_demands(TOOLS, FORMAT_TOOLS)
            chosen = ChosenLock(self._resolve_sets(demands, str(derived_uuid(_SEEDS, TOOLS))))
        else:
            demands = self._demands(spec)
            chosen = self.choose(spec, choice)
        packages = _all_tools(chosen.lock)
        with self.transport() as transport:
            files = self._files(chosen, demands, transport).files([PackageFile.of(p) for p in packages])
        tools = self.tools
        index = ToolsIndex.of(tools.os, tools.dist, self.target.arch, *unmarked(chosen.lock.repositories, packages))
        return write_tools_archive(file, index, files)

    def transport(self) -> AbstractContextManager[Transport]:
        """The door to the network, which is shut where the settings say so."""
        if self.settings.offline:
            return nullcontext(OfflineTransport())
        return HttpTransport(self.settings.network, identify_to=self._mirror_hosts())

    def _mirror_hosts(self) -> frozenset[str]:
        """The hosts that settings, data and build host name; a lock from somebody else can name further ones, and to
        these nobody identifies."""
        settings, known = self.settings, (self.distribution, self.tools_distribution)
        urls = [url for found in settings.mirrors.values() for url in found]
        urls += settings.snapshots.values()
        for distribution in known:
            urls += family_for(distribution.family).host_mirrors(Path("/etc")).values()
            urls += [url for r in distribution.repositories for url in (r.url, r.key_url) if url]
        return frozenset(urlsplit(url).netloc for url in urls)

    # -- what is asked of whom -------------------------------------------------------------------------------

    def _demands(self, spec: ImageSpec, as_of: int | None = None) -> tuple[Demand, ...]:
        """`as_of` is about the target's own repositories."""
        image = SetRequest("image", spec.package_groups, True, spec.weak_dependencies)
        chroot = SetRequest("chroot", (PackageGroup("chroot", self.distribution.chroot_packages),), essential=True)
        own = self._demand(self.distribution, (image, chroot), spec.suites, as_of)
        (tools,) = self._tools_demands(TOOLS, *((FORMAT_TOOLS,) if needs_format_tools(spec) else ()))
        if self.tools_distribution == self.distribution and not tools.from_archive:
            return (replace(own, requests=(*own.requests, *tools.requests)),)
        return (own, tools)

    def _tools_demands(self, *names: str) -> tuple[Demand, ...]:
        """Where the settings name an archive, no repository is needed for the image tools."""
        requests = tools_requests(self.tools, *names)
        if archive_digest(self.settings):
            return (Demand(self.tools_distribution, (), requests, from_archive=True),)
        return (self._demand(self.tools_distribution, requests),)

    def _demand(
        self,
        distribution: Distribution,
        requests: tuple[SetRequest, ...],
        suites: tuple[RequestedSuite, ...] = (),
        as_of: int | None = None,
    ) -> Demand:
        family, settings = family_for(distribution.family), self.settings
        host = family.host_mirrors(Path("/etc"))
        # A lock says where its packages are: mirrors are needed by who resolves.
        repositories = repositories_for(
            distribution, settings.mirrors, host, settings.repositories, suites, mirrors_needed=False
        )
        if as_of is not None:
            mirrors = {data.name: data.mirror for data in distribution.repositories}
            repositories = tuple(
                as_it_was(r, as_of, settings.snapshots.get(mirrors[r.name]), mirrors[r.name], family.BUILD_TIMES)
                for r in repositories
            )
        return Demand(distribution, repositories, requests)

    def _resolve(self, spec: ImageSpec, demands: tuple[Demand, ...]) -> Lock:
        seed = str(derived_uuid(_SEEDS, self.target.os, self.target.dist, self.target.arch, spec.name))
        return self._resolve_sets(demands, seed)

    def _resolve_sets(self, demands: tuple[Demand, ...], seed: str) -> Lock:
        clock, listener = self.services.clock, self.services.listener
        started = clock.elapsed()
        listener(PhaseStarted("resolve"))
        if not self.settings.offline:
            for demand in (d for d in demands if not d.from_archive):
                check_mirrors(demand.distribution, demand.repositories)
        archive = self.tools_archive()  # before any repository is asked, because that takes longer
        for repository in dict.fromkeys(r for demand in demands for r in demand.repositories):
            listener(Note("info", f"{repository.name}: {', '.join(repository.urls)}"))
        sets: dict[str, PackageSet] = {}
        repositories: list[LockedRepository] = []
        epoch = 0
        with self.transport() as transport:
            for demand in (d for d in demands if not d.from_archive):
                family = family_for(demand.distribution.family)
                cache = self.settings.cache_dir / "metadata"
                resolver = family.resolver(transport, cache, clock, listener)
                found = resolver.resolve(demand.repositories, demand.distribution.package_arch, demand.requests)
                sets |= found.sets
                repositories += [r for r in found.repositories if r not in repositories]
                epoch = epoch or found.source_date_epoch
        if archive is not None:
            listener(Note("info", f"image tools: {archive.path}"))
            repositories += archive.repositories(self.tools_distribution.family)
            for demand in (d for d in demands if d.from_archive):
                sets |= locked_tools(archive, demand.requests, demand.distribution)
        target = self.target
        lock = Lock(target.os, target.dist, target.arch, seed, epoch, tuple(repositories), sets)
        name = "image" if "image" in sets else "image tools"
        count = len(list(sets["image"].packages()) if "image" in sets else _all_tools(lock))
        listener(PhaseFinished("resolve", clock.elapsed() - started, f"{count} packages in the {name}"))
        return lock

    def _files(
        self,
        chosen: ChosenLock,
        demands: tuple[Demand, ...],
        transport: Transport,
        used: dict[str, Keyring] | None = None,
    ) -> LockedPackages:
        """`used` gets the keys that were needed, by the name of their repository."""
        cache = PackageCache(self.settings.cache_dir / "packages")
        workers, listener = self.settings.workers, self.services.listener
        sources = self._sources(demands, transport, {} if used is None else used)
        archive = self.tools_archive
        return LockedPackages(chosen.lock, sources, cache, transport, listener, workers, archive, chosen.file)

    def _sources(
        self, demands: tuple[Demand, ...], transport: Transport, used: dict[str, Keyring]
    ) -> dict[str, Source]:
        def source(family: str, repository: Repository) -> Source:
            metadata, listener = self.settings.cache_dir / "metadata", self.services.listener

            @functools.cache
            def keyring() -> Keyring:
                now = self.services.clock.now()
                found = keyring_of(repository, repository.name, metadata, transport, now, listener)
                used[repository.name] = found
                return found

            return Source(family_for(family), repository, keyring)

        found = {r.name: source(d.distribution.family, r) for d in demands for r in d.repositories}
        return found | {TOOLS: archive_source(self.tools_distribution.family)}


def _asked(demands: tuple[Demand, ...]) -> Asked:
    """The first demand is the image's own."""
    own, *others = demands
    return Asked(
        tuple(r for d in demands for r in d.requests),
        own.repositories,
        tuple(r for d in others for r in d.repositories),
    )


def _all_tools(lock: Lock) -> tuple[LockedPackage, ...]:
    """The packages of the sets of image tools that a lock has, each once. Raises UsageError `tools-differ`."""
    found: dict[str, LockedPackage] = {}
    for name in (TOOLS, FORMAT_TOOLS):
        for package in lock.sets[name].packages() if name in lock.sets else ():
            other = found.setdefault(package.name, package)
            if other.sha256 != package.sha256:
                raise UsageError(
                    "tools-differ",
                    f"the lock has {package.name} in two versions among the image tools",
                    hint="os-image-composer lock --update TEMPLATE takes the newest of everything",
                )
            depends = tuple(sorted({*package.depends, *other.depends}))
            found[package.name] = replace(package, depends=depends)
    return tuple(sorted(found.values()))


def _request_key(spec: ImageSpec, demands: tuple[Demand, ...], archive: str | None) -> str:
    """What resolution depends on, hashed: the target, what is asked for, and where; `archive` is the digest of the one
    that the image tools are taken from."""
    asked = [
        {
            "requests": d.requests,
            "repositories": [
                replace(r, keyrings=(), key_url=None, accept_older_metadata=False) for r in d.repositories
            ],
        }
        for d in demands
    ]
    tools = {"imageTools": archive} if archive else {}
    text = canonical_json({"name": spec.name, "target": spec.target, "asked": asked, **tools})
    return f"{spec.name}-{sha256_text(text)[:16]}"

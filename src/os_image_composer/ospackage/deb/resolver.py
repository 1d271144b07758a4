"""From repositories and requests to package sets: `ospackage.resolve.Resolver` for Debian's family."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from os_image_composer.build.clock import Clock
from os_image_composer.build.events import Listener
from os_image_composer.errors import SolveError
from os_image_composer.ospackage.deb.candidates import Available
from os_image_composer.ospackage.deb.control import Alternatives
from os_image_composer.ospackage.deb.packages import Package
from os_image_composer.ospackage.deb.solve import solve
from os_image_composer.ospackage.deb.suite import ReadSuite, read_suite
from os_image_composer.ospackage.lock import LockedPackage, PackageSet
from os_image_composer.ospackage.resolve import Repository, Resolution, SetRequest
from os_image_composer.ospackage.seen import NewestDates
from os_image_composer.ospackage.transactions import package_set
from os_image_composer.ospackage.transport import Transport


class DebResolver:
    """`cache_dir` is for metadata: indexes by digest, and the newest date of each suite."""

    def __init__(self, transport: Transport, cache_dir: Path, clock: Clock, listener: Listener) -> None:
        self._transport, self._cache_dir, self._clock, self._listener = transport, cache_dir, clock, listener

    def resolve(
        self, repositories: Sequence[Repository], package_arch: str, requests: Sequence[SetRequest]
    ) -> Resolution:
        """The requests are solved against one candidate choice. Raises TrustError, MetadataError, FetchError,
        SolveError; `not-built-yet` where a request wants weak dependencies."""
        if any(request.weak_dependencies for request in requests):
            raise SolveError(
                "not-built-yet",
                "what packages only recommend is not installed on this distribution yet",
                hint="name in the template what is wanted of it",
                key="systemConfig.weakDependencies",
            )
        suites = self._read(repositories, package_arch)
        available = Available([i for s in suites for i in s.indexes], [s.locked.name for s in suites], package_arch)
        sets = {request.name: _package_set(available.keeping(request.keep), request) for request in requests}
        return Resolution(tuple(s.locked for s in suites), sets, max((s.locked.date for s in suites), default=0))

    def _read(self, repositories: Sequence[Repository], arch: str) -> list[ReadSuite]:
        wanted = [(repository, suite) for repository in repositories for suite in repository.suites]
        with ThreadPoolExecutor(max_workers=max(1, min(4, len(wanted)))) as pool:
            futures = [
                pool.submit(read_suite, r, s, arch, self._cache_dir, self._transport, self._clock, self._listener)
                for r, s in wanted
            ]
            suites = [future.result() for future in futures]
        NewestDates(self._cache_dir).note({s.memory: s.locked.date for s in suites if s.memory is not None})
        return suites


def _package_set(available: Available, request: SetRequest) -> PackageSet:
    # All that does not exist is told at once, whichever template asks for it.
    available.requests([name for group in request.groups for name in group.packages])

    def solved(names: Sequence[str]) -> dict[str, Package]:
        return {p.name: p for p in solve(available, names, defaults=request.essential)}

    def locked(final: Sequence[Package]) -> Callable[[Package], LockedPackage]:
        providers = _providers(final)
        return lambda package: _locked(available, package, providers)

    def meeting(text: str) -> Sequence[str]:
        return [available.request(text).name]

    defaults = [p.name for p in available.defaults()] if request.essential else []
    return package_set(request, solved, locked, meeting, defaults)


def _providers(packages: Sequence[Package]) -> dict[str, list[Package]]:
    """Who goes by a name, the package of that name first."""
    found: dict[str, list[Package]] = {p.name: [p] for p in packages}
    for package in packages:
        for name in dict.fromkeys(v.name for v in package.provides):
            if name != package.name:
                found.setdefault(name, []).append(package)
    return found


def _locked(available: Available, package: Package, providers: dict[str, list[Package]]) -> LockedPackage:
    met = (_meeting(available, demand, providers) for demand in package.demands)
    return LockedPackage(
        name=package.name,
        version=package.version,
        arch=package.arch,
        repository=package.repository,
        path=package.path,
        size=package.size,
        sha256=package.sha256,
        installed_size=package.installed_size,
        essential=package.essential,
        source=package.source,
        depends=tuple(sorted({name for name in met if name and name != package.name})),
    )


def _meeting(available: Available, demand: Alternatives, providers: dict[str, list[Package]]) -> str | None:
    for relation in demand:
        for package in providers.get(relation.name, ()):
            if available.meets(package, relation):
                return package.name
    return None

"""From repositories and requests to package sets: `ospackage.resolve.Resolver` for RPM's family."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from os_image_composer.build.clock import Clock
from os_image_composer.build.events import Listener
from os_image_composer.ospackage.lock import PackageSet
from os_image_composer.ospackage.resolve import Repository, Resolution, SetRequest
from os_image_composer.ospackage.rpm.pool import PackagePool, version_of
from os_image_composer.ospackage.rpm.repository import ReadRepository, read_repository
from os_image_composer.ospackage.rpm.requests import Requested, requested
from os_image_composer.ospackage.rpm.solve import solve
from os_image_composer.ospackage.seen import NewestDates
from os_image_composer.ospackage.transactions import package_set
from os_image_composer.ospackage.transport import Transport


class RpmResolver:
    """`cache_dir` is for metadata: indexes by digest, and the newest date of each repository."""

    def __init__(self, transport: Transport, cache_dir: Path, clock: Clock, listener: Listener) -> None:
        self._transport, self._cache_dir, self._clock, self._listener = transport, cache_dir, clock, listener

    def resolve(
        self, repositories: Sequence[Repository], package_arch: str, requests: Sequence[SetRequest]
    ) -> Resolution:
        """Raises TrustError, MetadataError, FetchError, SolveError."""
        read = self._read(repositories)
        pool = PackagePool(read, package_arch)
        sets = {request.name: _package_set(pool, request) for request in requests}
        NewestDates(self._cache_dir).note({r.memory: r.locked.date for r in read})
        dates = [r.locked.date if r.as_of is None else min(r.locked.date, r.as_of) for r in read]
        return Resolution(tuple(r.locked for r in read), sets, max(dates, default=0))

    def _read(self, repositories: Sequence[Repository]) -> list[ReadRepository]:
        def one(repository: Repository) -> ReadRepository:
            return read_repository(repository, self._cache_dir, self._transport, self._clock, self._listener)

        with ThreadPoolExecutor(max_workers=max(1, min(4, len(repositories)))) as workers:
            return list(workers.map(one, repositories))


def _package_set(pool: PackagePool, request: SetRequest) -> PackageSet:
    # All that does not exist is told at once, whichever template asks for it.
    pool.keep({})
    asked = requested(pool, [name for group in request.groups for name in group.packages])
    pool.keep(_not_asked_otherwise(pool, request.keep, asked))

    def solved(names: Sequence[str]) -> Mapping[str, int]:
        return solve(pool, names, recommended=request.weak_dependencies)

    def meeting(text: str) -> Sequence[str]:
        (one,) = requested(pool, [text])
        return [pool.pool.id2solvable(number).name for number in one.candidates]

    return package_set(request, solved, pool.locked, meeting)


def _not_asked_otherwise(pool: PackagePool, keep: Mapping[str, str], asked: Sequence[Requested]) -> dict[str, str]:
    """`keep` without the names of which a text asks for another version."""
    kept = dict(keep)
    for one in asked:
        versions: dict[str, set[str]] = {}
        for number in one.candidates:
            solvable = pool.pool.id2solvable(number)
            versions.setdefault(solvable.name, set()).add(version_of(solvable))
        for name, there in versions.items():
            if kept.get(name) and kept[name] not in there:
                kept.pop(name)
    return kept

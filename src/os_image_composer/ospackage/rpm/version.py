"""rpm's ordering of `epoch:version-release` (rpm-version(7))."""

from __future__ import annotations

import functools

import solv


@functools.cache
def _solvables() -> tuple[solv.Pool, solv.XSolvable, solv.XSolvable]:
    pool = solv.Pool()  # kept: solvables point into it
    pool.setdisttype(solv.Pool.DISTTYPE_RPM)
    repository = pool.add_repo("")
    return pool, repository.add_solvable(), repository.add_solvable()


def is_newer(version: str, other: str) -> bool:
    """Whether `version` comes after `other`; an epoch that is left out is 0."""
    _, one, two = _solvables()
    one.evr, two.evr = version, other
    return bool(one.evrcmp(two) > 0)

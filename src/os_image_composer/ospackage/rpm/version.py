"""rpm's ordering of `epoch:version-release` (rpm-version(7))."""

from __future__ import annotations

import functools

import solv


@functools.cache
def _pool() -> solv.Pool:
    pool = solv.Pool()
    pool.setdisttype(solv.Pool.DISTTYPE_RPM)
    return pool


def is_newer(version: str, other: str) -> bool:
    """Whether `version` comes after `other`; an epoch that is left out is 0."""
    return bool(_pool().evrcmp(version, other) > 0)

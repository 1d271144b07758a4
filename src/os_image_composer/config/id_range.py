"""Numeric ids of the build host, as settings and subuid(5) give them. Standard library only: the sandbox, and the proof
that a host can run it, need no more."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class IdRange:
    """Numeric user and group ids of the build host that stand for those inside an image."""

    start: int
    count: int


# For a build by root only, who has no range of subordinate ids. 2,000,000,000 lies between the ranges that
# systemd hands out (its UIDS-GIDS document leaves 1879048192 to 2147352575 unused) and above all that shadow-utils
# gives to users (SUB_UID_MAX 600100000).
ROOT_ID_RANGE = IdRange(2_000_000_000, 65536)

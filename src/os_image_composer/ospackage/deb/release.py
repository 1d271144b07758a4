"""The Release file of a suite: its identity, its dates and the digests of its indexes, and when it is refused.

Source of the fields: the Debian repository format, "Release files"
(https://wiki.debian.org/DebianRepository/Format).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from os_image_composer.errors import MetadataError
from os_image_composer.ospackage.deb.control import parse_paragraph

FUTURE_SLACK = 600.0  # seconds by which the host's clock may be behind the archive's
_ENTRY = re.compile(r"([0-9a-f]{64})\s+([0-9]{1,15})\s+(\S+)")


@dataclass(frozen=True)
class IndexEntry:
    """A file named in a Release: path below the suite, size in bytes."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Release:
    """`date` and `valid_until` are seconds since the epoch."""

    suite: str
    codename: str
    date: int
    valid_until: int | None
    not_automatic: bool
    but_automatic_upgrades: bool
    acquire_by_hash: bool
    components: tuple[str, ...]
    architectures: tuple[str, ...]
    all_in_each: bool  # `Architecture: all` packages stand in every architecture's index
    files: Mapping[str, IndexEntry]


def parse_release(text: bytes, what: str) -> Release:
    """Raises MetadataError `bad-release` where it is not one."""
    try:
        fields = parse_paragraph(text.decode("utf-8"))
    except (UnicodeDecodeError, MetadataError) as error:
        raise MetadataError("bad-release", f"{what} is malformed", cause=str(error)) from error
    if "date" not in fields or "sha256" not in fields:
        raise MetadataError("bad-release", f"{what} is malformed", cause="no Date or no SHA256 field in it")
    return Release(
        suite=fields.get("suite", ""),
        codename=fields.get("codename", ""),
        date=_time(fields["date"], what),
        valid_until=_time(fields["valid-until"], what) if "valid-until" in fields else None,
        not_automatic=_yes(fields, "notautomatic"),
        but_automatic_upgrades=_yes(fields, "butautomaticupgrades"),
        acquire_by_hash=_yes(fields, "acquire-by-hash"),
        components=tuple(fields.get("components", "").split()),
        architectures=tuple(fields.get("architectures", "").split()),
        all_in_each="all" not in fields.get("architectures", "").split()
        or "Packages" in fields.get("no-support-for-architecture-all", "").split(),
        files=_files(fields["sha256"], what),
    )


def _yes(fields: Mapping[str, str], name: str) -> bool:
    return fields.get(name, "").strip().lower() == "yes"


def _time(text: str, what: str) -> int:
    try:
        return int(parsedate_to_datetime(text).timestamp())
    except (ValueError, OverflowError) as error:
        raise MetadataError("bad-release", f"{what} is malformed", cause=f"not a date: {text!r}") from error


def _files(section: str, what: str) -> Mapping[str, IndexEntry]:
    files: dict[str, IndexEntry] = {}
    for line in section.split("\n"):
        if not line.strip():
            continue
        match = _ENTRY.fullmatch(line.strip())
        if match is None or ".." in match[3].split("/") or match[3].startswith("/"):
            raise MetadataError("bad-release", f"{what} is malformed", cause=f"SHA256 line {line.strip()[:120]!r}")
        files[match[3]] = IndexEntry(match[3], int(match[2]), match[1])
    return files


def check_release(release: Release, suite: str, what: str, now: float, newest_seen: int | None) -> None:
    """Refuse what a mirror must not give: another suite, an expired or future file, one older than was seen."""
    if suite.rstrip("/") not in (release.suite, release.codename):
        raise MetadataError(
            "wrong-suite",
            f"{what} is not the suite {suite}",
            cause=f"it says suite {release.suite or '(none)'}, codename {release.codename or '(none)'}",
        )
    if release.valid_until is not None and now > release.valid_until:
        raise MetadataError(
            "metadata-expired",
            f"{what} has expired",
            cause=f"it was valid until {_say(release.valid_until)}",
            hint="the mirror is stale, or this host's clock is wrong",
        )
    if release.date > now + FUTURE_SLACK:
        raise MetadataError(
            "metadata-not-yet-valid",
            f"{what} is dated in the future",
            cause=f"it was made on {_say(release.date)}",
            hint="set this host's clock",
        )
    if newest_seen is not None and release.date < newest_seen:
        raise MetadataError(
            "metadata-rollback",
            f"{what} is older than what this repository gave before",
            cause=f"{_say(release.date)} instead of {_say(newest_seen)}",
            hint="the mirror is stale or somebody replays old metadata: try again later or name another mirror; where "
            f"going back is meant, write `repositories: {{{what.partition('/')[0]}: {{accept_older_metadata: true}}}}` "
            "into the settings file",
        )


def _say(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")

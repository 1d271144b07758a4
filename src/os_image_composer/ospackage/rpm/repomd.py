"""repomd.xml: which indexes a repository has, with their digests, and how old they are.

Written by createrepo_c; there is no specification beside that program and libsolv's and librepo's readers of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from os_image_composer.errors import MetadataError, TrustError
from os_image_composer.ospackage.kept_index import IndexSource
from os_image_composer.ospackage.rpm.xml import Element, parse_small

MAX_REPOMD = 4 << 20  # bytes; a usual one has 4 kB
FUTURE_SLACK = 600.0  # seconds by which the host's clock may be behind the repository's
_FORMS = (".gz", ".xz", ".zst", ".bz2")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_SAFE_PATH = re.compile(r"(?!/)(?!.*(?:^|/)\.\.(?:/|$))[A-Za-z0-9._+~^=@%/-]+")


@dataclass(frozen=True)
class IndexFile:
    """An index as repomd.xml describes it; `path` is relative to the repository's URL, sizes are bytes."""

    kind: str
    path: str
    sha256: str
    size: int
    plain_sha256: str
    plain_size: int

    @property
    def form(self) -> str:
        return next((form for form in _FORMS if self.path.endswith(form)), "")


@dataclass(frozen=True)
class Repomd:
    """`date` is that of the newest index, in seconds since the epoch. What cannot be used is told when it is asked for,
    as a repository may have further indexes in forms that are not read here."""

    revision: str
    date: int
    _data: Mapping[str, Element]

    def index(self, kind: str, what: str) -> IndexFile:
        """Raises MetadataError `no-such-index`, `bad-repomd`, TrustError `weak-digest`."""
        element = self._data.get(kind)
        if element is None:
            there = " ".join(sorted(self._data))
            raise MetadataError("no-such-index", f"{what} has no {kind} index", cause=f"there is {there}")
        return _index(kind, element, what)

    def source(self, kind: str, urls: Sequence[str], what: str) -> IndexSource:
        """Where that index is below the repository's URLs. Raises as `index`."""
        file = self.index(kind, f"{what} repomd.xml")
        return IndexSource(
            what=f"{what} {kind}",
            urls=tuple(f"{url}/{file.path}" for url in urls),
            form=file.form,
            packed_sha256=file.sha256,
            packed_size=file.size,
            plain_sha256=file.plain_sha256,
            plain_size=file.plain_size,
            signed_by="repomd.xml",
        )


def parse_repomd(data: bytes, what: str) -> Repomd:
    """Raises MetadataError `bad-xml`, `bad-repomd` where it is not one."""
    root = parse_small(data, what)
    if root.name != "repomd":
        raise _bad(what, f"its root is {root.name[:40]!r}")
    revision = root.first("revision")
    indexes: dict[str, Element] = {}
    for element in root.all("data"):
        kind = element.attributes.get("type", "")
        if kind in indexes:
            raise _bad(what, f"two entries of type {kind[:40]!r}")
        indexes[kind] = element
    dates = [_number(e, "timestamp", what) for e in indexes.values() if e.first("timestamp")]
    if "primary" not in indexes or not dates:
        raise _bad(what, "no primary index or no timestamp in it")
    return Repomd((revision.text.strip() if revision else ""), max(dates), indexes)


def check_date(repomd: Repomd, what: str, now: float, newest_seen: int | None) -> None:
    """Refuse what was made in the future, and what is older than was seen before. Raises MetadataError
    `metadata-not-yet-valid`, `metadata-rollback`."""
    if repomd.date > now + FUTURE_SLACK:
        raise MetadataError(
            "metadata-not-yet-valid",
            f"{what} is dated in the future",
            cause=f"it was made on {_say(repomd.date)}",
            hint="set this host's clock",
        )
    if newest_seen is not None and repomd.date < newest_seen:
        raise MetadataError(
            "metadata-rollback",
            f"{what} is older than what this repository gave before",
            cause=f"{_say(repomd.date)} instead of {_say(newest_seen)}",
            hint="the mirror is stale or somebody replays old metadata: try again later or name another mirror; where "
            f"going back is meant, write `repositories: {{{what.partition(' ')[0]}: {{accept_older_metadata: true}}}}` "
            "into the settings file",
        )


def _index(kind: str, element: Element, what: str) -> IndexFile:
    location = element.first("location")
    path = location.attributes.get("href", "") if location else ""
    if not _SAFE_PATH.fullmatch(path) or (location and "base" in location.attributes):
        raise _bad(what, f"the {kind} index is at {path[:80]!r}, which is not below the repository")
    file = IndexFile(
        kind=kind,
        path=path,
        sha256=_checksum(element, "checksum", kind, what),
        size=_number(element, "size", what),
        plain_sha256="",
        plain_size=0,
    )
    if file.form == "" and element.first("open-checksum") is None:
        plain_sha256, plain_size = file.sha256, file.size
    else:
        plain_sha256 = _checksum(element, "open-checksum", kind, what)
        plain_size = _number(element, "open-size", what)
    return IndexFile(kind, path, file.sha256, file.size, plain_sha256, plain_size)


def _checksum(element: Element, name: str, kind: str, what: str) -> str:
    checksum = element.first(name)
    if checksum is None:
        raise _bad(what, f"the {kind} index has no {name}")
    algorithm, digest = checksum.attributes.get("type", ""), checksum.text.strip()
    if algorithm != "sha256":
        raise TrustError(
            "weak-digest",
            f"{what} gives no SHA-256 of its {kind} index",
            cause=f"{name} of type {algorithm[:20] or '(none)'}",
            hint="createrepo_c --checksum sha256 makes one",
        )
    if not _DIGEST.fullmatch(digest):
        raise _bad(what, f"{name} {digest[:80]!r}")
    return digest


def _number(element: Element, name: str, what: str) -> int:
    child = element.first(name)
    text = child.text.strip().split(".", 1)[0] if child else ""  # old tools wrote timestamps with a fraction
    if not text.isascii() or not text.isdigit() or len(text) > 11:
        raise _bad(what, f"{name} {text[:40]!r} is not a number")
    return int(text)


def _bad(what: str, cause: str) -> MetadataError:
    return MetadataError("bad-repomd", f"{what} is malformed", cause=cause)


def _say(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")

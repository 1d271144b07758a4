"""The mirrors that the build host's own apt uses: sources.list(5), one-line and deb822 style."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from os_image_composer.errors import MetadataError
from os_image_composer.ospackage.deb.control import paragraphs

_ONE_LINE = re.compile(r"(?P<type>deb|deb-src)\s+(?:\[(?P<options>[^\]]*)\]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)")
_ARCHIVE_KEYRING = "debian-archive-keyring"
_MAIN, _SECURITY = "debian", "debian-security"


@dataclass(frozen=True)
class _Source:
    uri: str
    suites: tuple[str, ...]
    binary: bool
    signed_by: str


def host_mirrors(etc: Path) -> Mapping[str, str]:
    """URLs by mirror name, `debian` and `debian-security`, from `<etc>/apt`: the first source of Debian's packages
    that is http or https, those for binary packages before those for sources. Files that cannot be read or
    understood count as not there; this is a convenience, never a matter of trust."""
    found: dict[str, str] = {}
    sources = [_followed(source, etc) for source in _sources(etc / "apt")]
    for source in sorted(sources, key=lambda s: (not s.binary, _doubt(s))):
        name = _mirror_name(source)
        if name is not None:
            found.setdefault(name, source.uri.rstrip("/"))
    return found


def _followed(source: _Source, etc: Path) -> _Source:
    """A source by `mirror+file:` (apt-transport-mirror(1)), as cloud images have it, with the first URL of its list."""
    scheme, _, path = source.uri.partition(":")
    path = path.removeprefix("//")
    if scheme != "mirror+file" or not path.startswith("/etc/"):
        return source
    lines = (line.partition("#")[0].split() for line in _text(etc / path.removeprefix("/etc/")).splitlines())
    return replace(source, uri=next((words[0] for words in lines if words), source.uri))


def _doubt(source: _Source) -> int:
    """Many a vendor's own repository ends in /debian and is signed by the vendor's key, so it comes last."""
    if _ARCHIVE_KEYRING in source.signed_by:
        return 0
    return 2 if source.signed_by else 1


def _mirror_name(source: _Source) -> str | None:
    if not source.uri.startswith(("http://", "https://")):
        return None
    path = source.uri.rstrip("/")
    if not path.endswith(("/debian", "/debian-security")) and _ARCHIVE_KEYRING not in source.signed_by:
        return None
    security = [suite.endswith(("-security", "/updates")) for suite in source.suites]
    if path.endswith("/debian-security") or (security and all(security)):
        return _SECURITY
    return _MAIN


def _sources(apt: Path) -> Iterator[_Source]:
    parts = apt / "sources.list.d"
    for file in (apt / "sources.list", *sorted(parts.glob("*.list"))):
        yield from _one_line_sources(_text(file))
    for file in sorted(parts.glob("*.sources")):
        yield from _deb822_sources(_text(file))


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8", "replace")
    except OSError:
        return ""


def _one_line_sources(text: str) -> Iterator[_Source]:
    for line in text.splitlines():
        match = _ONE_LINE.match(line.partition("#")[0].strip())
        if match:
            options = match["options"] or ""
            signed_by = options if "signed-by" in options.lower() else ""
            yield _Source(match["uri"], (match["suite"],), match["type"] == "deb", signed_by)


def _deb822_sources(text: str) -> Iterator[_Source]:
    try:
        entries = list(paragraphs(text))
    except MetadataError:
        return
    for fields in entries:
        if fields.get("enabled", "yes").lower() in ("no", "false", "0"):
            continue
        binary = "deb" in fields.get("types", "").split()
        for uri in fields.get("uris", "").split():
            yield _Source(uri, tuple(fields.get("suites", "").split()), binary, fields.get("signed-by", ""))

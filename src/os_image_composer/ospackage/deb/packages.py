"""One binary package as its repository describes it, and an index as such descriptions by name.

A description is parsed only when somebody asks for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from os_image_composer.errors import MetadataError
from os_image_composer.ospackage.deb.control import Alternatives, Relation, parse_paragraph, parse_relations
from os_image_composer.ospackage.deb.index_table import IndexTable, entry_name, index_table
from os_image_composer.ospackage.deb.version import Key, version_key

PRIORITIES = {"required": 1, "important": 2, "standard": 3, "optional": 4, "extra": 5}
_SAFE_PATH = re.compile(r"(?!/)(?!.*(?:^|/)\.\.(?:/|$))[\x21-\x7e]+")
# Debian Policy §5.6.1, §5.6.7, §5.6.12: these become file names, so nothing else may be in them.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9+.-]*")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+:~-]*")
_SIZE = re.compile(r"[0-9]{1,12}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
# apt keeps itself from being removed by treating its own package as essential; so must a set that equals apt's.
_ALWAYS_ESSENTIAL = ("apt",)


@dataclass(frozen=True)
class Package:
    """`pin` is the priority of its suite; sizes are bytes; `demands` are Pre-Depends, then Depends; `excludes`
    are Conflicts and Breaks; `source` is the source package's name and version."""

    name: str
    version: str
    arch: str
    repository: str
    pin: int
    path: str
    size: int
    sha256: str
    installed_size: int
    essential: bool
    important: bool
    priority: int
    multi_arch: str
    source: str
    demands: tuple[Alternatives, ...]
    excludes: tuple[Relation, ...]
    provides: tuple[Relation, ...]
    key: Key

    def __str__(self) -> str:
        return f"{self.name} {self.version}"

    @property
    def suite(self) -> str:
        """The suite that it is from, as the repository's description names it."""
        return self.repository.rsplit("/", 1)[-1]

    @property
    def wanted_by_default(self) -> bool:
        """Whether a system is not one without it."""
        return self.essential or self.name in _ALWAYS_ESSENTIAL


class SuiteIndex:
    """The packages of one index of a suite, by name. `table` says where they are in `text`, if that is known."""

    def __init__(self, text: bytes, repository: str, pin: int, what: str, table: IndexTable | None = None) -> None:
        self.repository, self.pin, self.what = repository, pin, what
        self.text = text
        self._table = table or index_table(text, what)

    def __len__(self) -> int:
        return len(self._table.names)

    def names(self) -> Iterator[str]:
        return (name.decode("ascii", "replace") for name in self._table.by_name)

    def versions(self, name: str) -> Iterator[Package]:
        """Every version of a package that the index has."""
        for number in self._table.numbers(name.encode()):
            yield self._parse(self._stanza(number))

    def providers(self, name: str) -> Iterator[str]:
        """Names of the packages that list `name` in their Provides."""
        for number in self._table.providers(name.encode()):
            yield self._table.names[number].decode("ascii", "replace")

    def defaults(self) -> Iterator[str]:
        """Names of the packages that every system has."""
        for number in self._table.essential:
            yield self._table.names[number].decode("ascii", "replace")
        yield from (name for name in _ALWAYS_ESSENTIAL if name.encode() in self._table.by_name)

    def _stanza(self, number: int) -> bytes:
        """An entry, which is the one that the table says it is: the table may come from a cache."""
        start, name = self._table.starts[number], self._table.names[number]
        end = self.text.find(b"\n\n", start)
        stanza = self.text[start : end if end >= 0 else len(self.text)]
        if (start and self.text[start - 2 : start] != b"\n\n") or entry_name(stanza, self.what) != name:
            raise MetadataError(
                "bad-index",
                f"{self.what}: the kept table of its entries does not fit it",
                cause=f"{name.decode('ascii', 'replace')} is not at byte {start}",
                hint="os-image-composer cache clean --downloads removes what is kept",
            )
        return stanza

    def _parse(self, stanza: bytes) -> Package:
        try:
            return _package(parse_paragraph(stanza.decode("utf-8")), self.repository, self.pin)
        except (KeyError, ValueError, MetadataError) as error:
            name = entry_name(stanza, self.what).decode("ascii", "replace")
            raise MetadataError(
                "bad-index", f"{self.what}: the entry of {name} is malformed", cause=str(error)
            ) from error


def _package(fields: object, repository: str, pin: int) -> Package:
    get = fields.get  # type: ignore[attr-defined]
    name, version, sha256, path = get("package"), get("version"), get("sha256", ""), get("filename", "")
    if not name or not version:
        raise ValueError("no name or no version")
    if not _NAME.fullmatch(name) or not _VERSION.fullmatch(version) or not _NAME.fullmatch(get("architecture", "all")):
        raise ValueError("no usable Package, Version and Architecture")
    if not _DIGEST.fullmatch(sha256) or not _SAFE_PATH.fullmatch(path.removeprefix("./")):
        raise ValueError("no usable Filename and SHA256")
    source_name, _, source_version = get("source", name).partition(" ")
    demands = parse_relations(get("pre-depends", "")) + parse_relations(get("depends", ""))
    excludes = parse_relations(get("conflicts", "")) + parse_relations(get("breaks", ""))
    return Package(
        name=name,
        version=version,
        arch=get("architecture", "all"),
        repository=repository,
        pin=pin,
        path=path.removeprefix("./"),
        size=_size(get("size", ""), "Size"),
        sha256=sha256,
        installed_size=_size(get("installed-size", "0"), "Installed-Size") * 1024,
        essential=get("essential", "no") == "yes",
        important="yes" in (get("important", "no"), get("protected", "no")),
        priority=PRIORITIES.get(get("priority", "optional"), 4),
        multi_arch=get("multi-arch", "no"),
        source=f"{source_name} {source_version.strip('()') or version}",
        demands=demands,
        excludes=tuple(one for group in excludes for one in group),
        provides=tuple(one for group in parse_relations(get("provides", "")) for one in group),
        key=version_key(version),
    )


def _size(text: str, field: str) -> int:
    if not _SIZE.fullmatch(text):
        raise ValueError(f"no usable {field}")
    return int(text)

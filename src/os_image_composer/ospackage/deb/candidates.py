"""Which version of a package is considered at all: one candidate a name, chosen before anything is solved.

apt_preferences(5): the version with the highest pin priority, then the highest version. Pins follow from the suite:
500; 1 where its Release says NotAutomatic; 100 where it says ButAutomaticUpgrades as well. A repository's own
priority replaces any of them. A request for `name=version` or `name/suite` sets the candidate of that name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from os_image_composer.errors import SolveError
from os_image_composer.ospackage.deb.control import Operator, Relation
from os_image_composer.ospackage.deb.packages import Package, SuiteIndex
from os_image_composer.ospackage.deb.release import Release
from os_image_composer.ospackage.deb.version import Key, satisfies, version_key
from os_image_composer.ospackage.requested import all_requested, unknown_package

_DEFAULT_PIN = 500
_NAME = re.compile(r"[a-z0-9][a-z0-9+.\-]*")
_RELATION_FIELDS = (
    b"Package:",
    b"Pre-Depends:",
    b"Depends:",
    b"Recommends:",
    b"Suggests:",
    b"Replaces:",
    b"Conflicts:",
    b"Breaks:",
    b"Enhances:",
    b"Provides:",
)


def pin_of(release: Release, priority: int | None) -> int:
    """The pin priority of a suite's versions; `priority` is the repository's own, if it has one."""
    if priority is not None:
        return priority
    if release.not_automatic:
        return 100 if release.but_automatic_upgrades else 1
    return _DEFAULT_PIN


class Available:
    """All packages that the suites offer, seen through the candidate choice. Indexes are in the order of the
    repositories' configuration, as apt's ties depend on it."""

    def __init__(self, indexes: Sequence[SuiteIndex], repositories: Sequence[str], arch: str) -> None:
        self._indexes = tuple(indexes)
        self.arch = arch
        self.repositories = tuple(repositories)
        self._versions: dict[str, tuple[Package, ...]] = {}
        self._candidates: dict[str, Package | None] = {}
        self._providers: dict[str, tuple[Package, ...]] = {}
        self._mentions: dict[str, tuple[int, ...]] = {}
        self._keys: dict[str, Key] = {}
        self._defaults: tuple[Package, ...] | None = None
        self._chosen: Mapping[str, Package] = {}

    def versions(self, name: str) -> tuple[Package, ...]:
        """All versions, best pin and then newest first."""
        known = self._versions.get(name)
        if known is None:
            found = {(p.key, p.arch, p.sha256, p.pin): p for i in reversed(self._indexes) for p in i.versions(name)}
            known = tuple(sorted(found.values(), key=lambda p: (p.pin, p.key), reverse=True))
            self._versions[name] = known
        return known

    def candidate(self, name: str) -> Package | None:
        if name not in self._candidates:
            best = next((p for p in self.versions(name) if p.pin >= 0), None)
            self._candidates[name] = best
        return self._candidates[name]

    def providers(self, name: str) -> tuple[Package, ...]:
        """Candidates of other names that list `name` in their Provides."""
        known = self._providers.get(name)
        if known is None:
            names = dict.fromkeys(n for i in self._indexes for n in i.providers(name))
            found = (self.candidate(n) for n in names)
            known = tuple(p for p in found if p is not None and any(v.name == name for v in p.provides))
            self._providers[name] = known
        return known

    def matching(self, relation: Relation) -> Iterable[Package]:
        """The candidates that meet a relation: the package of that name, then the providers (Policy 7.5: a
        versioned relation is met by a versioned Provides only)."""
        own = self.candidate(relation.name)
        if own is not None and self.meets(own, relation):
            yield own
        for provider in self.providers(relation.name):
            if provider is not own and self.meets(provider, relation):
                yield provider

    def meets(self, package: Package, relation: Relation) -> bool:
        """Whether this very package meets the relation, by its name or by a Provides."""
        if package.name == relation.name:
            return self._qualifies(package, relation) and self._compares(package.key, relation)
        for provided in package.provides:
            if provided.name != relation.name or self.foreign(relation):
                continue
            if relation.qualifier == "any" and provided.qualifier != "any" and package.multi_arch != "allowed":
                continue
            if relation.operator is None:
                return True
            if provided.operator is Operator.EQUAL and self._compares(self.key(provided.version), relation):
                return True
        return False

    def key(self, version: str) -> Key:
        known = self._keys.get(version)
        if known is None:
            known = self._keys[version] = version_key(version)
        return known

    def _qualifies(self, package: Package, relation: Relation) -> bool:
        # Multi-Arch: `any` asks for a package that allows it.
        if relation.qualifier == "any":
            return package.multi_arch == "allowed"
        return not self.foreign(relation)

    def foreign(self, relation: Relation) -> bool:
        """Whether it is about another architecture's packages, none of which are offered here; those of `all` count
        as the system's own."""
        return relation.qualifier not in (None, "any", "native", self.arch)

    def _compares(self, key: Key, relation: Relation) -> bool:
        return relation.operator is None or satisfies(key, relation.operator.value, self.key(relation.version))

    def defaults(self) -> tuple[Package, ...]:
        """Essential packages, and what apt counts among them."""
        if self._defaults is None:
            names = dict.fromkeys(n for i in self._indexes for n in i.defaults())
            found = (self.candidate(n) for n in names)
            self._defaults = tuple(p for p in found if p is not None and p.wanted_by_default)
        return self._defaults

    def choosing(self, chosen: Iterable[Package]) -> Available:
        """The same packages, with these as the candidates of their names."""
        other = Available(self._indexes, self.repositories, self.arch)
        other._versions, other._mentions, other._keys = self._versions, self._mentions, self._keys
        explicit = {p.name: p for p in chosen}
        if all(self.candidate(n) is p for n, p in explicit.items()):
            return self
        other._chosen = {**self._chosen, **explicit}
        other._candidates.update(other._chosen)
        return other

    def keeping(self, versions: Mapping[str, str]) -> Available:
        """The same packages, with these versions as candidates as far as they are still there."""
        there = (next((p for p in self.versions(n) if p.version == v), None) for n, v in versions.items())
        return self.choosing(p for p in there if p is not None)

    def request(self, text: str) -> Package:
        """The package that a template asks for by `name`, `name=version` or `name/suite`. A name that only one
        package provides means that package. The architecture may be named (`name:amd64`) where it is the image's.
        Raises SolveError `unknown-package`, `unknown-version`, `virtual-package`, `bad-package-name`,
        `foreign-architecture`, with the key under which the template's places are known."""
        return self.requests((text,))[0]

    def requests(self, texts: Sequence[str]) -> tuple[Package, ...]:
        """As `request`, for several: what is wrong with any of them is raised together, as `unknown-packages`."""
        return all_requested(texts, self._requested, self.repositories)

    def _requested(self, text: str) -> Package:
        if text.startswith("/"):
            raise SolveError(
                "bad-package-name",
                f"{text} is a file and not a package",
                cause="this distribution's metadata do not say which package has a file",
                hint=f"name the package; `dpkg --search {text}` names it where it is installed",
            )
        asked, sign, rest = re.fullmatch(r"([^=/]*)([=/]?)(.*)", text, re.DOTALL).groups()  # type: ignore[union-attr]
        name, colon, arch = asked.partition(":")
        if not _NAME.fullmatch(name) or (sign and not rest) or (colon and not arch):
            raise SolveError("bad-package-name", f"{text!r} is not a package name", hint="write name or name=version")
        if colon and arch not in ("any", "native", self.arch):
            raise SolveError(
                "foreign-architecture",
                f"{name} is asked for as {arch}, the image is {self.arch}",
                hint=f"write {name}; packages of a second architecture are not installed",
            )
        if sign:
            return self._explicit(name, sign, rest)
        found = self.candidate(name)
        if found is not None:
            return found
        providers = self.providers(name)
        if len(providers) == 1:
            return providers[0]
        if providers:
            raise SolveError(
                "virtual-package",
                f"{name} is provided by several packages",
                cause=", ".join(sorted(p.name for p in providers)),
                hint="name one of them",
            )
        raise self._unknown(name)

    def _explicit(self, name: str, sign: str, rest: str) -> Package:
        versions = self.versions(name)
        if not versions:
            raise self._unknown(name)
        for package in versions:
            if sign == "=" and package.key == self.key(rest):
                return package
            if sign == "/" and package.suite == rest:
                return package
        raise SolveError(
            "unknown-version",
            f"{name} is not there as {rest}",
            cause="there is " + ", ".join(f"{p.version} ({p.repository})" for p in versions),
        )

    def _unknown(self, name: str) -> SolveError:
        names = (n for i in self._indexes for n in i.names())
        return unknown_package(name, names, self.repositories, "check the name and the repositories' components")

    def mention(self, name: str) -> tuple[int, ...]:
        """Where a name first occurs in the indexes, as package or in a relation; apt numbers packages so, and
        takes the higher number where nothing else decides."""
        known = self._mentions.get(name)
        if known is None:
            encoded = name.encode()
            known = (len(self._indexes),)
            for number, index in enumerate(self._indexes):
                place = _first_mention(index.text, encoded)
                if place is not None:
                    known = (number, *place)
                    break
            self._mentions[name] = known
        return known


def _first_mention(text: bytes, name: bytes) -> tuple[int, int, int] | None:
    """(start of the entry, rank of the field, offset) of the first relation that names `name`."""
    at = _next_mention(text, name, 0, len(text))
    if at is None:
        return None
    entry = text.rfind(b"\n\n", 0, at) + 2 if at > 1 else 0
    end = text.find(b"\n\n", at)
    end = end if end >= 0 else len(text)
    places = []
    while at is not None:
        places.append((_RELATION_FIELDS.index(_field(text, at)), at))
        at = _next_mention(text, name, at + 1, end)
    return (entry, *min(places))


def _next_mention(text: bytes, name: bytes, start: int, end: int) -> int | None:
    # Names follow a blank in every archive's indexes; a plain search is twenty times as fast as a pattern.
    needle = b" " + name
    at = text.find(needle, start, end)
    while at >= 0:
        behind = text[at + len(needle) : at + len(needle) + 1]
        if behind in b" ,|:\n(" and _field(text, at) in _RELATION_FIELDS:
            return at
        at = text.find(needle, at + 1, end)
    return None


def _field(text: bytes, offset: int) -> bytes:
    line = text.rfind(b"\n", 0, offset) + 1
    return text[line : text.find(b" ", line)]

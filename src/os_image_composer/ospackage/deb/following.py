"""Which other candidates follow a request for `name/suite`.

apt takes more from that suite than the package itself, where its dependencies ask for a version that the candidates
do not have; so a kernel of backports comes with the parts that only backports has. The rules are those of apt's
`pkgDepCache::SetCandidateRelease`, peculiarities included:

 1. The demands of the package are looked at in their order, Pre-Depends first.
 2. A demand is fine when a candidate meets it that needs nothing beyond the packages that were asked for. (On a
    running system that means: beyond what is installed.)
 3. Otherwise the suite's version of its first versioned alternative becomes the candidate, if it meets the demand
    and if the same can be done for what it demands itself.
 4. At the first demand for which neither is so it ends; what was changed so far stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from os_image_composer.ospackage.deb.candidates import Available
from os_image_composer.ospackage.deb.control import Alternatives, Relation
from os_image_composer.ospackage.deb.packages import Package


def follow_suites(
    available: Available, asked: Iterable[Package], suites: Sequence[tuple[Package, str]]
) -> tuple[Package, ...]:
    """The candidates that become others than `available` has, for the packages that were asked for from a suite.
    `asked` is everything that was asked for, Essential packages included."""
    following = _Following(available, asked)
    for package, suite in suites:
        following.changed.append(package)
        following.switch(package, suite)
    return tuple(following.candidates.values())


class _Following:
    def __init__(self, available: Available, asked: Iterable[Package]) -> None:
        self.available = available
        self.asked = {p.name: p for p in asked}
        self.candidates: dict[str, Package] = {}
        self.changed: list[Package] = []

    def switch(self, package: Package, suite: str) -> bool:
        self._take(package)
        before = len(self.changed)
        for demand in package.demands:
            if not any(self._fine(relation) for relation in demand) and not self._switch_one(demand, suite):
                del self.changed[before:]
                return False
        return True

    def _take(self, package: Package) -> None:
        self.candidates[package.name] = package
        if package.name in self.asked:
            self.asked[package.name] = package

    def _switch_one(self, demand: Alternatives, suite: str) -> bool:
        for relation in demand:
            version = self._of_suite(relation, suite)
            if version is None or not self.available.meets(version, relation):
                continue
            old = self._candidate(relation.name)
            if version is old and any(p.name == version.name for p in self.changed):
                return True
            self.changed.append(version)
            if self.switch(version, suite):
                return True
            if relation is demand[-1]:
                return False
            if old is not None:
                self._take(old)
            self.changed.pop()
        return False

    def _of_suite(self, relation: Relation, suite: str) -> Package | None:
        if relation.operator is None or relation.qualifier == "any":
            return None
        return next((p for p in self.available.versions(relation.name) if p.suite == suite), None)

    def _fine(self, relation: Relation) -> bool:
        named = None if relation.qualifier == "any" else self._candidate(relation.name)
        if relation.operator is not None:
            return named is not None and self.available.meets(named, relation) and self._needs_no_more(named)
        providers = self._providers(relation)
        if providers:
            return any(self._needs_no_more(p) for p in providers)
        return named is not None and self._needs_no_more(named)

    def _providers(self, relation: Relation) -> list[Package]:
        found = [self.candidates.get(p.name, p) for p in self.available.providers(relation.name)]
        own = self._candidate(relation.name)
        if relation.qualifier == "any" and own is not None:
            found.append(own)
        return [p for p in found if self.available.meets(p, relation)]

    def _needs_no_more(self, package: Package) -> bool:
        met = all(any(self._asked_for(r, package) for r in demand) for demand in package.demands)
        return met and not any(self._asked_for(r, package) for r in package.excludes)

    def _asked_for(self, relation: Relation, by: Package) -> bool:
        return any(self.available.meets(p, relation) for p in self.asked.values() if p.name != by.name)

    def _candidate(self, name: str) -> Package | None:
        return self.candidates.get(name) or self.available.candidate(name)

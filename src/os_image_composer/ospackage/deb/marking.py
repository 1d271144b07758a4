"""Which packages apt would mark for installation on an empty system: its choices, in its order, without a proof.

The rules (observed with apt 3.0's default solver; `solve` proves the outcome and has the last word):

 1. Everything that was requested is marked first, in the order of the request, and is protected: nothing unmarks it.
 2. Then the demands of each requested package are met in the order Pre-Depends, Depends, depth first.
 3. A demand that a marked package meets adds nothing.
 4. Otherwise its solutions are tried in this order: alternatives from left to right; within one alternative a
    protected package, the package of that very name, Essential, Important, the better Priority
    (required < important < standard < optional < extra), the name that the indexes first mention last.
 5. A package is not tried when one of its demands has no solution among the candidates.
 6. A package that excludes a protected one is not tried; one that excludes a marked, unprotected one unmarks it.
 7. The exclusions of protected packages take what they exclude out of the candidates.
 8. What a protected package demands and has a single solution is protected, too.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence

from os_image_composer.ospackage.deb.candidates import Available
from os_image_composer.ospackage.deb.control import Alternatives, Relation
from os_image_composer.ospackage.deb.packages import Package

_Marking = Generator[object, bool, bool]


def mark(available: Available, requested: Sequence[Package]) -> tuple[Package, ...]:
    """The packages that apt's choices lead to, in the order in which they were marked."""
    marks = _Marks(available)
    for package in requested:
        marks.marked[package.name] = package
        marks.protected.add(package.name)
    for package in requested:
        _run(marks.mark(package, from_user=True))
    return tuple(marks.marked.values())


def _run(first: _Marking) -> bool:
    """Run nested markings with a list for a stack: chains of dependencies are longer than Python's own allows."""
    stack, answer = [first], None
    while stack:
        try:
            child = stack[-1].send(answer)  # type: ignore[arg-type]
        except StopIteration as finished:
            stack.pop()
            answer = bool(finished.value)
        else:
            stack.append(child)  # type: ignore[arg-type]
            answer = None
    return bool(answer)


class _Marks:
    def __init__(self, available: Available) -> None:
        self.available = available
        self.marked: dict[str, Package] = {}
        self.protected: set[str] = set()
        self.discarded: set[str] = set()
        self._busy: list[str] = []  # protected while their demands are being met

    def mark(self, package: Package, *, from_user: bool = False) -> _Marking:
        """Yields the markings it depends on; gives whether the package is marked with all it demands."""
        protected = self._is_protected(package.name)
        if package.name in self.discarded:
            return False
        if package.name in self.marked and not protected:
            return True
        if not self._satisfiable(package):
            if not protected:
                self.discarded.add(package.name)
            return False
        early = not protected and not from_user  # the first failure ends it
        demands = [d for d in package.demands if protected or not self._met(d)]
        sound = self._exclude(package, protected, early)
        if not sound and early:
            return False
        self.marked[package.name] = package
        self._busy.append(package.name)
        try:
            for demand in demands:
                met = yield from self._demand(demand, protected)
                if not met:
                    sound = False
                    if early:
                        self.marked.pop(package.name, None)
                        self.discarded.add(package.name)
                        return False
        finally:
            self._busy.remove(package.name)
        return sound

    def _demand(self, demand: Alternatives, protected: bool) -> Generator[object, bool, bool]:
        solutions = self._solutions(demand)
        if self._met(demand):
            if protected and len(solutions) == 1 and not self._is_protected(solutions[0].name):
                self.protected.add(solutions[0].name)
                yield self.mark(solutions[0])
            return True
        for solution in solutions:
            if solution.name in self.discarded:
                continue
            if protected and len(solutions) == 1:
                if not self._satisfiable(solution):
                    continue
                self.marked[solution.name] = solution
                self.protected.add(solution.name)
            done = yield self.mark(solution)
            if done:
                return True
        return False

    def _is_protected(self, name: str) -> bool:
        return name in self.protected or name in self._busy

    def _met(self, demand: Alternatives) -> bool:
        return any(self._met_by_marked(relation) for relation in demand)

    def _met_by_marked(self, relation: Relation) -> bool:
        own = self.marked.get(relation.name)
        if own is not None and self.available.meets(own, relation):
            return True
        return any(
            self.marked.get(p.name) is p and self.available.meets(p, relation)
            for p in self.available.providers(relation.name)
        )

    def _candidates(self, relation: Relation) -> Iterable[Package]:
        return (p for p in self.available.matching(relation) if p.name not in self.discarded)

    def _satisfiable(self, package: Package) -> bool:
        return all(any(True for r in demand for _ in self._candidates(r)) for demand in package.demands)

    def _solutions(self, demand: Alternatives) -> list[Package]:
        found: dict[str, Package] = {}
        for relation in demand:
            several = list(self._candidates(relation))
            if len(several) > 1:
                several.sort(key=lambda p: self._rank(p, relation.name))
                several = self._break_ties(several, relation.name)
            found.update((p.name, p) for p in several if p.name not in found)
        return list(found.values())

    def _rank(self, package: Package, target: str) -> tuple[bool, bool, bool, bool, int]:
        return (
            not self._is_protected(package.name),
            package.name != target,
            not package.wanted_by_default,
            not package.important and not package.wanted_by_default,
            package.priority,
        )

    def _break_ties(self, several: list[Package], target: str) -> list[Package]:
        ranks = [self._rank(p, target) for p in several]
        if len(set(ranks)) == len(ranks):
            return several
        several = sorted(several, key=lambda p: self.available.mention(p.name), reverse=True)
        return sorted(several, key=lambda p: self._rank(p, target))

    def _exclude(self, package: Package, protected: bool, early: bool) -> bool:
        sound = True
        for relation in package.excludes:
            for other in list(self.available.matching(relation)):
                if other.name == package.name:
                    continue
                if self.marked.get(other.name) is other:
                    if self._is_protected(other.name):
                        sound = False
                        if early:
                            return False
                        continue
                    del self.marked[other.name]
                if protected:
                    self.discarded.add(other.name)
        return sound

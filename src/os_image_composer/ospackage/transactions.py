"""How a set of packages is cut into transactions: what each template adds, so that layers only ever add."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from os_image_composer.config.spec import PackageGroup
from os_image_composer.ospackage.lock import AskedGroup, LockedPackage, PackageSet, Transaction
from os_image_composer.ospackage.resolve import SetRequest

P = TypeVar("P")


def package_set(
    request: SetRequest,
    solve: Callable[[Sequence[str]], Mapping[str, P]],
    locked: Callable[[Sequence[P]], Callable[[P], LockedPackage]],
    meeting: Callable[[str], Sequence[str]],
    defaults: Sequence[str] = (),
) -> PackageSet:
    """One transaction a group: what solving the groups up to it adds, in the order of the keys of what `solve` gives
    for names. Where a further group changes or drops what the groups before it gave, the two are one transaction.
    `locked` gets the whole set and gives what makes its packages locked ones; `meeting` gives the names of the packages
    that may meet a text, the preferred one first; `defaults` are the names of those that every system has."""
    groups = request.groups or (PackageGroup(request.name, ()),)
    solved: list[tuple[str, Mapping[str, P]]] = []
    for count in range(1, len(groups) + 1):
        packages = solve(list(dict.fromkeys(name for group in groups[:count] for name in group.packages)))
        labels = groups[count - 1].label
        while solved and not solved[-1][1].items() <= packages.items():
            labels = f"{solved.pop()[0]}, {labels}"
        solved.append((labels, packages))
    lock = locked(tuple(solved[-1][1].values()))
    transactions: list[Transaction] = []
    before: frozenset[str] = frozenset()
    for label, packages in solved:
        added = sorted(packages.keys() - before)
        before = frozenset(packages)
        if added or not transactions:
            transactions.append(Transaction(label, tuple(lock(packages[key]) for key in added)))
    return _with_reasons(request, tuple(transactions), meeting, defaults)


def _with_reasons(
    request: SetRequest,
    transactions: tuple[Transaction, ...],
    meeting: Callable[[str], Sequence[str]],
    defaults: Sequence[str],
) -> PackageSet:
    """The set with why each package is there."""
    needs = needs_of(p for t in transactions for p in t.packages)
    asked = tuple(
        AskedGroup(group.label, {text: next(n for n in meeting(text) if n in needs) for text in group.packages})
        for group in request.groups
    )
    return with_roots(PackageSet(transactions, asked, tuple(defaults), request.weak_dependencies))


def with_roots(packages: PackageSet) -> PackageSet:
    """The same with roots from which, and from what was asked for, everything in it is reached; those that it has are
    among them as far as they are there."""
    needs = needs_of(packages.packages())
    wanted = {name for group in packages.asked for name in group.packages.values()}
    roots = {name for name in packages.roots if name in needs and name not in wanted}
    reached = reachable(needs, wanted | roots)
    for name in sorted(needs):
        # What others recommend, and what nothing needs any more since another choice meets the same demand.
        if name not in reached:
            roots.add(name)
            reached |= reachable(needs, {name})
    return replace(packages, roots=tuple(sorted(roots)))


def needs_of(packages: Iterable[LockedPackage]) -> dict[str, set[str]]:
    """What the packages of each name need, by name."""
    found: dict[str, set[str]] = {}
    for package in packages:
        found.setdefault(package.name, set()).update(package.depends)
    return found


def reachable(needs: Mapping[str, Iterable[str]], start: Iterable[str]) -> set[str]:
    """The names of `start` and of all that they need, as far as they are there."""
    found: set[str] = set()
    queue = list(start)
    while queue:
        name = queue.pop()
        if name in needs and name not in found:
            found.add(name)
            queue += needs[name]
    return found

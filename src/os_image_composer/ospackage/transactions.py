"""How a set of packages is cut into transactions: what each template adds, so that layers only ever add."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from os_image_composer.config.spec import PackageGroup
from os_image_composer.ospackage.lock import LockedPackage, PackageSet, Transaction
from os_image_composer.ospackage.resolve import SetRequest

P = TypeVar("P")


def package_set(
    request: SetRequest,
    solve: Callable[[Sequence[str]], Mapping[str, P]],
    locked: Callable[[Sequence[P]], Callable[[P], LockedPackage]],
) -> PackageSet:
    """One transaction a group: what solving the groups up to it adds, in the order of the keys of what `solve` gives
    for names. Where a further group changes or drops what the groups before it gave, the two are one transaction.
    `locked` gets the whole set and gives what makes its packages locked ones."""
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
    return PackageSet(tuple(transactions))

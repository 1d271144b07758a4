"""A lock made anew: everything newest, or only what must change and the rest as it was."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from os_image_composer.config.nearest import did_you_mean
from os_image_composer.errors import SolveError, UsageError
from os_image_composer.ospackage.lock import Lock, PackageSet
from os_image_composer.ospackage.resolve import SetRequest
from os_image_composer.ospackage.transactions import needs_of, reachable
from os_image_composer.provider.implicit_lock import same_packages

Keep = Callable[[SetRequest], SetRequest]


def newest(old: Lock | None, resolve: Callable[[Keep], Lock]) -> Lock:
    """What the repositories have now. An old lock with the same packages stays as it is, dates and bits included."""
    return _successor(old, resolve(lambda request: request))


def keeping(old: Lock, updated: Sequence[str], resolve: Callable[[Keep], Lock]) -> Lock:
    """The versions of `old` as far as they can still be had, but for the packages named in `updated`, and for what
    these need where they cannot be installed otherwise. Raises UsageError `not-in-lock` for a name that the lock does
    not have, SolveError."""
    _check_names(old, updated)
    attempts = [frozenset(updated)]
    if updated:
        attempts.append(frozenset(_with_needs(old, updated)))
    for number, released in enumerate(attempts, 1):
        try:
            return _successor(old, resolve(_keeping(old, released)))
        except SolveError as error:
            if error.reference != "cannot-be-installed" or number < len(attempts):
                if error.reference != "cannot-be-installed":
                    raise
                continue
            error.hint = (
                "the versions of the lock are kept as far as possible, and with these it cannot be: "
                "os-image-composer lock --update TEMPLATE takes the newest of everything"
            )
            raise
    raise AssertionError("an attempt returns or raises")


def _successor(old: Lock | None, new: Lock) -> Lock:
    if old is None:
        return new
    new = replace(new, seed=old.seed)
    return old if same_packages(old, new) else new


def _keeping(old: Lock, released: frozenset[str]) -> Keep:
    def keep(request: SetRequest) -> SetRequest:
        packages = old.sets.get(request.name, PackageSet(())).packages()
        return replace(request, keep={p.name: "" if p.name in released else p.version for p in packages})

    return keep


def _with_needs(old: Lock, names: Iterable[str]) -> set[str]:
    found: set[str] = set()
    for packages in old.sets.values():
        found |= reachable(needs_of(packages.packages()), names)
    return found


def _check_names(old: Lock, names: Iterable[str]) -> None:
    known: Mapping[str, None] = {p.name: None for packages in old.sets.values() for p in packages.packages()}
    for name in names:
        if name not in known:
            raise UsageError(
                "not-in-lock",
                f"the lock has no package {name}",
                hint=did_you_mean(name, known) or "a package is added in the template",
            )

"""A lock made anew: everything newest, or only what must change and the rest as it was."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from os_image_composer.config.nearest import did_you_mean
from os_image_composer.errors import SolveError, UsageError
from os_image_composer.ospackage.lock import Lock, PackageSet
from os_image_composer.ospackage.resolve import SetRequest
from os_image_composer.ospackage.tools_archive import FORMAT_TOOLS, TOOLS
from os_image_composer.ospackage.transactions import needs_of, reachable
from os_image_composer.provider.implicit_lock import renewed

Keep = Callable[[SetRequest], SetRequest]


def newest(old: Lock | None, resolve: Callable[[Keep], Lock]) -> Lock:
    """What the repositories have now. An old lock with the same packages stays as it is, dates and bits included."""
    new = resolve(lambda request: request)
    return renewed(old, replace(new, seed=old.seed)) if old is not None else new


def as_it_was(old: Lock | None, resolve: Callable[[Keep], Lock]) -> Lock:
    """What the repositories had at the time for which `resolve` asks them, its dates included."""
    new = resolve(lambda request: request)
    return replace(new, seed=old.seed) if old is not None else new


def keeping(old: Lock, updated: Sequence[str], resolve: Callable[[Keep], Lock]) -> Lock:
    """The versions of `old` as far as they can still be had, but for the packages named in `updated`; where that cannot
    be installed, but for what these need as well, and then for what needs them too. Raises UsageError `not-in-lock` for
    a name that the lock does not have, SolveError."""
    _check_names(old, updated)
    failed: SolveError | None = None
    for released in _attempts(old, updated):
        try:
            return renewed(old, replace(resolve(_keeping(old, released)), seed=old.seed))
        except SolveError as error:
            if error.reference != "cannot-be-installed":
                raise
            failed = failed or error
    assert failed is not None
    failed.hint = (
        "the versions of the lock are kept as far as possible, and with these it cannot be: "
        "os-image-composer lock --update TEMPLATE takes the newest of everything"
    )
    raise failed


def _attempts(old: Lock, updated: Sequence[str]) -> Iterator[frozenset[str]]:
    """Which packages may change, fewest first."""
    yield frozenset(updated)
    if updated:
        yield frozenset(_with_needs(old, updated))
        yield frozenset(_with_needs(old, {*updated, *_needing(old, updated)}))


def _needing(old: Lock, names: Sequence[str]) -> set[str]:
    packages = (p for found in old.sets.values() for p in found.packages())
    return {p.name for p in packages if set(names) & set(p.depends)}


def _keeping(old: Lock, released: frozenset[str]) -> Keep:
    def keep(request: SetRequest) -> SetRequest:
        # A template that asks for another format has these tools in its lock for the first time: as far as they are
        # the image tools too, they are the same.
        before = TOOLS if request.name == FORMAT_TOOLS and request.name not in old.sets else request.name
        packages = old.sets.get(before, PackageSet(())).packages()
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

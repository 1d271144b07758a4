"""What a change of a lock means for who reviews it: packages added, removed, upgraded, downgraded, and their sizes.

`compare` says of two locks everything that differs; this says what a pull request is about.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from os_image_composer.ospackage.family import families, family_for
from os_image_composer.ospackage.lock import Lock, LockedPackage, LockedRepository
from os_image_composer.report.compare_lock import ORDER, lock_fields, repository_fields, set_fields


class Kind(StrEnum):
    ADDED = "added"
    REMOVED = "removed"
    UPGRADED = "upgraded"
    DOWNGRADED = "downgraded"
    REPLACED = "replaced"  # the same version with other bytes
    CHANGED = "changed"  # the same bytes, of which the lock says something else: where they are, what they need


@dataclass(frozen=True)
class PackageChange:
    """One package of one set. Versions are None where it is not there; `download` and `installed` are how many bytes
    more it takes than before."""

    set: str
    name: str
    arch: str
    kind: Kind
    before: str | None
    after: str | None
    download: int
    installed: int


@dataclass(frozen=True)
class OtherChange:
    """Something else that a lock says, as text, which is empty where it says nothing: `what` is the lock itself, one of
    its sets or one of its repositories."""

    what: str
    field: str
    before: str
    after: str


@dataclass(frozen=True)
class LockDiff:
    """`packages` in the order of their sets and names."""

    packages: tuple[PackageChange, ...]
    others: tuple[OtherChange, ...]
    equal: bool

    def of(self, name: str) -> tuple[PackageChange, ...]:
        return tuple(change for change in self.packages if change.set == name)


def diff_locks(a: Lock, b: Lock) -> LockDiff:
    """What makes `b` of `a`."""
    packages: list[PackageChange] = []
    # The image first: the rest is what it is made with.
    for name in sorted(a.sets.keys() | b.sets.keys(), key=lambda n: (n != "image", n)):
        before, after = _packages(a, name), _packages(b, name)
        for key in sorted(before.keys() | after.keys()):
            change = _change(name, before.get(key), after.get(key), {r.name: r for r in b.repositories})
            if change is not None:
                packages.append(change)
    others = tuple(_others(a, b))
    if a != b and not packages and not others:
        others = (OtherChange("lock", *ORDER),)
    return LockDiff(tuple(packages), others, a == b)


def _packages(lock: Lock, name: str) -> dict[tuple[str, str], LockedPackage]:
    """By name and by the architecture where another package has the same name."""
    found = list(lock.sets[name].packages()) if name in lock.sets else []
    names = [package.name for package in found]
    return {(p.name, p.arch if names.count(p.name) > 1 else ""): p for p in found}


def _change(
    name: str,
    before: LockedPackage | None,
    after: LockedPackage | None,
    repositories: Mapping[str, LockedRepository],
) -> PackageChange | None:
    one = after or before
    assert one is not None
    if before is not None and after is not None:
        if before == after:
            return None
        kind = Kind.REPLACED if before.sha256 != after.sha256 else Kind.CHANGED
        if before.version != after.version:
            newer = _is_newer(after, before, repositories)
            kind = Kind.UPGRADED if newer else Kind.DOWNGRADED
    else:
        kind = Kind.ADDED if before is None else Kind.REMOVED
    return PackageChange(
        name,
        one.name,
        one.arch,
        kind,
        before.version if before else None,
        after.version if after else None,
        (after.size if after else 0) - (before.size if before else 0),
        (after.installed_size if after else 0) - (before.installed_size if before else 0),
    )


def _is_newer(after: LockedPackage, before: LockedPackage, repositories: Mapping[str, LockedRepository]) -> bool:
    family = repositories[after.repository].family
    if family not in families():  # made by hand or by another version: no order is known
        return after.version > before.version
    return family_for(family).is_newer(after.version, before.version)


def _others(a: Lock, b: Lock) -> Iterator[OtherChange]:
    for field, before, after in lock_fields(a, b):
        if before != after:
            yield OtherChange("lock", field, _text(before), _text(after))
    for name in sorted(a.sets.keys() | b.sets.keys()):
        for field, before, after in set_fields(a, b, name):
            if before != after:
                yield OtherChange(name, field, _text(before), _text(after))
    ours, theirs = {r.name: r for r in a.repositories}, {r.name: r for r in b.repositories}
    for name in sorted(ours.keys() | theirs.keys()):
        one, other = ours.get(name), theirs.get(name)
        if one is None or other is None:
            yield OtherChange(f"repository {name}", "added" if one is None else "removed", _who(one), _who(other))
            continue
        for field, before, after in repository_fields(one, other):
            if before != after:
                yield OtherChange(f"repository {name}", field, _text(before), _text(after))


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _who(repository: LockedRepository | None) -> str:
    return f"{repository.url} signed by {', '.join(repository.signers)}" if repository is not None else ""

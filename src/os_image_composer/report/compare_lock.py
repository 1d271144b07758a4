"""How two locks differ."""

from __future__ import annotations

from collections.abc import Iterator

from os_image_composer.ospackage.lock import Lock, LockedPackage, LockedRepository, PackageSet
from os_image_composer.ospackage.lock_text import time_text
from os_image_composer.report.differences import Area, Differences

# What is told of locks that say the same in another order: which transaction comes first decides what is installed.
ORDER = ("order", "that of the first", "another")


def compare_locks(a: Lock, b: Lock, found: Differences) -> None:
    """Adds what differs."""
    found.add_fields(Area.LOCK, "lock", lock_fields(a, b))
    repositories = {r.name: r for r in a.repositories}, {r.name: r for r in b.repositories}
    for name in sorted(repositories[0].keys() | repositories[1].keys()):
        one, other = repositories[0].get(name), repositories[1].get(name)
        if one is not None and other is not None:
            found.add_fields(Area.LOCK, f"repository {name}", repository_fields(one, other))
        else:
            found.add(Area.LOCK, f"repository {name}", "missing", one and one.url, other and other.url)
    for name in sorted(a.sets.keys() | b.sets.keys()):
        found.add_fields(Area.LOCK, name, set_fields(a, b, name))
        ours, theirs = _packages(a, name), _packages(b, name)
        for package in sorted(ours.keys() | theirs.keys()):
            _compare_packages(f"{name}: {package}", ours.get(package), theirs.get(package), found)
    if a != b and not found.count:
        found.add(Area.LOCK, "lock", *ORDER)


def _packages(lock: Lock, name: str) -> dict[str, tuple[str, LockedPackage]]:
    """By name and architecture, each with the transaction that it is in."""
    transactions = lock.sets[name].transactions if name in lock.sets else ()
    return {f"{p.name}:{p.arch}": (t.label, p) for t in transactions for p in t.packages}


def _compare_packages(
    where: str, a: tuple[str, LockedPackage] | None, b: tuple[str, LockedPackage] | None, found: Differences
) -> None:
    if a is not None and b is not None:
        found.add_fields(Area.LOCK, where, _package_fields(a, b))
    else:
        found.add(Area.LOCK, where, "missing", a and a[1].version, b and b[1].version)


def lock_fields(a: Lock, b: Lock) -> Iterator[tuple[str, object, object]]:
    yield "target", f"{a.os}/{a.dist}/{a.arch}", f"{b.os}/{b.dist}/{b.arch}"
    yield "seed", a.seed, b.seed
    yield "source-date-epoch", a.source_date_epoch, b.source_date_epoch


def set_fields(a: Lock, b: Lock, name: str) -> Iterator[tuple[str, object, object]]:
    """What two locks say of why the packages of a set are there."""
    one, other = (lock.sets.get(name, PackageSet(())) for lock in (a, b))
    yield from _asked(one, other)
    yield "roots", " ".join(one.roots), " ".join(other.roots)
    yield "weak-dependencies", one.weak_dependencies, other.weak_dependencies


def _asked(a: PackageSet, b: PackageSet) -> Iterator[tuple[str, object, object]]:
    """The requests that differ, each as `template:text=package`; all of them where only their order does."""
    ours, theirs = _requests(a), _requests(b)
    for key in sorted(ours.keys() | theirs.keys()):
        yield "asked", ours.get(key), theirs.get(key)
    if ours == theirs and a.asked != b.asked:
        yield "asked", " ".join(ours.values()), " ".join(theirs.values())


def _requests(packages: PackageSet) -> dict[tuple[str, str], str]:
    return {(g.label, text): f"{g.label}:{text}={met}" for g in packages.asked for text, met in g.packages.items()}


def repository_fields(a: LockedRepository, b: LockedRepository) -> Iterator[tuple[str, object, object]]:
    yield "url", a.url, b.url
    yield "suite", a.suite, b.suite
    yield "date", time_text(a.date), time_text(b.date)
    yield "valid-until", _time(a.valid_until), _time(b.valid_until)
    yield "metadata", a.metadata_sha256, b.metadata_sha256
    yield "signers", " ".join(a.signers), " ".join(b.signers)
    yield "family", a.family, b.family
    yield "components", " ".join(a.components), " ".join(b.components)
    yield "priority", a.priority, b.priority


def _time(seconds: int | None) -> str | None:
    return None if seconds is None else time_text(seconds)


def _package_fields(a: tuple[str, LockedPackage], b: tuple[str, LockedPackage]) -> Iterator[tuple[str, object, object]]:
    (transaction, one), (its_transaction, other) = a, b
    yield "transaction", transaction, its_transaction
    for name in ("version", "repository", "path", "size", "sha256", "source", "essential"):
        yield name, getattr(one, name), getattr(other, name)
    yield "installed-size", one.installed_size, other.installed_size
    yield "depends", " ".join(one.depends), " ".join(other.depends)

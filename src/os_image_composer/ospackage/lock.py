"""What was resolved: every package by name, version and SHA-256, and the metadata it was chosen from.

How it is written down and read back: `lock_file`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class LockedPackage:
    """One package file. `size` and `installed_size` are bytes; `path` is relative to the repository's URL;
    `depends` are the names of the packages of the same set that meet its dependencies."""

    name: str
    version: str
    arch: str
    repository: str
    path: str
    size: int
    sha256: str
    installed_size: int
    essential: bool
    source: str
    depends: tuple[str, ...]

    @property
    def file_name(self) -> str:
        return self.path.rsplit("/", 1)[-1]


@dataclass(frozen=True)
class Transaction:
    """Packages that are installed together, sorted by name; `label` says which template asked for them."""

    label: str
    packages: tuple[LockedPackage, ...]


@dataclass(frozen=True)
class AskedGroup:
    """What one template asks for: its texts, each with the name of the package of the set that meets it. `label` says
    which template."""

    label: str
    packages: Mapping[str, str]


@dataclass(frozen=True)
class PackageSet:
    """A root filesystem's packages: transactions in the order in which they are installed. `asked` is what they were
    chosen for, `weak_dependencies` whether with what packages recommend; `roots` are the names of those that are there
    though neither asked for nor needed by another: what every system has, what others recommend."""

    transactions: tuple[Transaction, ...]
    asked: tuple[AskedGroup, ...] = ()
    roots: tuple[str, ...] = ()
    weak_dependencies: bool = False

    def packages(self) -> Iterator[LockedPackage]:
        for transaction in self.transactions:
            yield from transaction.packages


@dataclass(frozen=True)
class LockedRepository:
    """A repository suite as it was read. `date` and `valid_until` are seconds since the epoch;
    `signers` are fingerprints of primary keys, the pinned one that was accepted first; `family` is that of its
    packages; `priority` is the one that was asked for, if any."""

    name: str
    url: str
    suite: str
    date: int
    valid_until: int | None
    metadata_sha256: str
    signers: tuple[str, ...]
    family: str = ""
    components: tuple[str, ...] = ()
    priority: int | None = None


@dataclass(frozen=True)
class Lock:
    """Same lock, same bits: `seed` (a UUID) and `source_date_epoch` stand for all that is random or dated.
    `sets` has `image`, `chroot` and `image-tools`, and `format-tools` where another format than a raw disk is asked
    for."""

    os: str
    dist: str
    arch: str
    seed: str
    source_date_epoch: int
    repositories: tuple[LockedRepository, ...]
    sets: Mapping[str, PackageSet]

    def urls(self, package: LockedPackage, mirrors: Mapping[str, Sequence[str]] | None = None) -> tuple[str, ...]:
        """Where the package may be had: at the mirror whose metadata named it, then at those of `mirrors`, which are
        by the name of a repository."""
        own = next(r for r in self.repositories if r.name == package.repository)
        further = (mirrors or {}).get(own.name.partition("/")[0], ())
        bases = dict.fromkeys(url.rstrip("/") for url in (own.url, *further))
        return tuple(f"{base}/{package.path}" for base in bases)

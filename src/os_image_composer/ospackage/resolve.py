"""What resolution is asked and what it answers, the same for every package family."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from os_image_composer.config.spec import PackageGroup
from os_image_composer.ospackage.lock import LockedRepository, PackageSet


@dataclass(frozen=True)
class Repository:
    """A repository with the mirrors that were chosen for it, in the order in which they are tried. `fingerprints` are
    the pinned primary keys, any of which must have signed; `keyrings` are the files that may hold them, `key_url` is
    where they are offered; `priority` pins its versions; None leaves that to what its
    suites say of themselves; `signed_packages` says whether each package must carry a pinned key's signature, in a
    family whose packages can; with `as_of` (seconds since the epoch) it is read as it was then."""

    name: str
    urls: tuple[str, ...]
    suites: tuple[str, ...]
    components: tuple[str, ...]
    fingerprints: tuple[str, ...]
    keyrings: tuple[Path, ...]
    priority: int | None
    key_url: str | None = None
    accept_older_metadata: bool = False
    signed_packages: bool = True
    as_of: int | None = None

    @property
    def url(self) -> str:
        """The preferred mirror."""
        return self.urls[0]


@dataclass(frozen=True)
class SetRequest:
    """A root filesystem's packages: each group is what one template adds to those before it; `essential` adds what
    the distribution holds every system to have, `weak_dependencies` what packages only recommend. `keep` are versions
    by name that are taken as long as a repository has them, unless a text names another; an empty one is the newest."""

    name: str
    groups: tuple[PackageGroup, ...]
    essential: bool
    weak_dependencies: bool = False
    keep: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Resolution:
    """`sets` by the requests' names; `source_date_epoch` is the newest date of the metadata, in seconds."""

    repositories: tuple[LockedRepository, ...]
    sets: Mapping[str, PackageSet]
    source_date_epoch: int


class Resolver(Protocol):
    def resolve(
        self, repositories: Sequence[Repository], package_arch: str, requests: Sequence[SetRequest]
    ) -> Resolution:
        """Read the repositories' signed metadata and choose the packages of every request. Raises TrustError,
        MetadataError, FetchError, SolveError."""

"""What is installed in a root filesystem, as its package database and the packages' licence files say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, order=True)
class InstalledPackage:
    """`source` and `source_version` name the source package; `maintainer` is `Name <address>` as it is written, and so
    is `licence`, for a database that has it."""

    name: str
    version: str
    arch: str
    source: str
    source_version: str
    maintainer: str
    homepage: str
    licence: str = ""


@dataclass(frozen=True)
class Licence:
    """A licence statement: an SPDX expression (SPDX 2.3, Annex D), and by its `LicenseRef-…` the text of each licence
    in it that is not on SPDX's list."""

    expression: str
    texts: Mapping[str, str]


class Inventory(Protocol):
    """How a family writes down what is installed. Paths have no leading slash; globs know `*`."""

    def databases(self) -> Sequence[str]:
        """Globs of the files that the package database is made of."""

    def installed(self, databases: Mapping[str, bytes]) -> tuple[InstalledPackage, ...]:
        """The installed packages, sorted, from those of the files that there are. Raises MetadataError."""

    def licence_file(self, package: InstalledPackage) -> str | None:
        """Where a package says under which licence it is, None where the database does."""

    def licence(self, package: InstalledPackage, content: bytes) -> Licence | None:
        """What a machine can read of the package's entry and of that file (empty where there is none); None where that
        is nothing."""

    def purl(self, package: InstalledPackage, vendor: str, release: str) -> str:
        """The package URL. `vendor` and `release` are ID and VERSION_ID of os-release(5)."""

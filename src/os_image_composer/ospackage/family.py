"""What a package family's code offers, and how it is found: the folder named like the family beside this file, so
that a family is named in provider data only."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO, Protocol, cast

from os_image_composer.build.clock import Clock
from os_image_composer.build.events import Listener
from os_image_composer.errors import UsageError
from os_image_composer.ospackage.inventory import Inventory
from os_image_composer.ospackage.lock import LockedPackage
from os_image_composer.ospackage.openpgp import Keyring
from os_image_composer.ospackage.resolve import Repository, Resolver
from os_image_composer.ospackage.transport import Transport


class PackageFamily(Inventory, Protocol):
    """`BUILD_TIMES` says whether metadata tells when each package was built."""

    BUILD_TIMES: bool

    def resolver(self, transport: Transport, cache: Path, clock: Clock, listener: Listener) -> Resolver:
        """What turns repositories and requests into package sets; `cache` is a folder it may keep metadata in."""

    def check_package(
        self, path: Path, package: LockedPackage, repository: Repository, keyring: Callable[[], Keyring]
    ) -> None:
        """Raises TrustError or MetadataError where a file that has the locked digest is still not to be trusted: what
        signed packages add to signed metadata. `keyring` gives the pinned keys of the repository."""

    def names(self, request: str, package: LockedPackage) -> bool:
        """Whether a template's `request` names that package; one that something else about it meets does not."""

    def is_newer(self, version: str, other: str) -> bool:
        """Whether `version` comes after `other` in the family's order."""

    def open_content(self, path: Path) -> BinaryIO:
        """The files of a verified package as an uncompressed tar stream."""

    def host_mirrors(self, etc: Path) -> Mapping[str, str]:
        """URLs by mirror name that the build host's own package manager uses; `etc` is its /etc."""


def family_for(name: str) -> PackageFamily:
    """Raises UsageError for a family that nothing is known of."""
    try:
        return cast(PackageFamily, importlib.import_module(f"os_image_composer.ospackage.{name}.family"))
    except ModuleNotFoundError as error:
        raise UsageError("unknown-family", f"there is no code for package family {name}") from error


def families() -> tuple[str, ...]:
    """The names of all families that there is code for, sorted."""
    folders = (path.parent.name for path in Path(__file__).parent.glob("*/family.py"))
    return tuple(sorted(folders))

"""The door to this family: `ospackage.family.PackageFamily`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from os_image_composer.build.clock import Clock
from os_image_composer.build.events import Listener
from os_image_composer.ospackage.inventory import InstalledPackage, Licence
from os_image_composer.ospackage.lock import LockedPackage
from os_image_composer.ospackage.openpgp import Keyring
from os_image_composer.ospackage.resolve import Repository, Resolver
from os_image_composer.ospackage.rpm import inventory, package, payload
from os_image_composer.ospackage.rpm.licence import read_licence
from os_image_composer.ospackage.rpm.resolver import RpmResolver
from os_image_composer.ospackage.transport import Transport

BUILD_TIMES = True


def resolver(transport: Transport, cache: Path, clock: Clock, listener: Listener) -> Resolver:
    """What turns repositories and requests into package sets; `cache` is a folder for metadata."""
    return RpmResolver(transport, cache, clock, listener)


def check_package(path: Path, wanted: LockedPackage, repository: Repository, keyring: Callable[[], Keyring]) -> None:
    """Whether the file is the package that was locked, signed with a pinned key of its repository, whole. Raises as
    `package.check_package`."""
    package.check_package(path, wanted, keyring() if repository.signed_packages else None)


def names(request: str, package: LockedPackage) -> bool:
    """`name`, `name-version`, `name-version-release`, `name-epoch:version-release`, each also with `.arch`."""
    bare = package.version.rpartition(":")[2]
    ends = ("", f"-{package.version}", f"-0:{bare}", f"-{bare}", f"-{bare.rpartition('-')[0]}")
    return request in {f"{package.name}{end}{arch}" for end in ends for arch in ("", f".{package.arch}")}


def is_newer(version: str, other: str) -> bool:
    """rpm's order, as libsolv has it."""
    from os_image_composer.ospackage.rpm.version import is_newer as newer

    return newer(version, other)


def open_content(path: Path) -> BinaryIO:
    """The files of a verified package as an uncompressed tar stream. Raises MetadataError `bad-package`."""
    return payload.open_payload_tar(path)


def host_mirrors(etc: Path) -> Mapping[str, str]:
    """No URLs: a build host of another distribution knows none, and one of the same names them in the settings."""
    return {}


def databases() -> Sequence[str]:
    """The files of the package database, in rpm's own place and in that of older releases."""
    return inventory.DATABASES


def installed(databases: Mapping[str, bytes]) -> tuple[InstalledPackage, ...]:
    """The installed packages. Raises MetadataError `bad-database`."""
    return inventory.installed(databases)


def licence_file(package: InstalledPackage) -> None:
    """None: the licence is a field of the database."""


def licence(package: InstalledPackage, content: bytes) -> Licence | None:
    """What the License tag says."""
    return read_licence(package.licence)


def purl(package: InstalledPackage, vendor: str, release: str) -> str:
    """The package URL."""
    return inventory.purl(package, vendor, release)

"""The door to this family: `ospackage.family.PackageFamily`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from os_image_composer.build.clock import Clock
from os_image_composer.build.events import Listener
from os_image_composer.ospackage.deb import apt_sources, archive, copyright, inventory
from os_image_composer.ospackage.deb.resolver import DebResolver
from os_image_composer.ospackage.deb.version import version_key
from os_image_composer.ospackage.inventory import InstalledPackage, Licence
from os_image_composer.ospackage.lock import LockedPackage
from os_image_composer.ospackage.openpgp import Keyring
from os_image_composer.ospackage.resolve import Repository, Resolver
from os_image_composer.ospackage.transport import Transport

BUILD_TIMES = False


def resolver(transport: Transport, cache: Path, clock: Clock, listener: Listener) -> Resolver:
    """What turns repositories and requests into package sets; `cache` is a folder for metadata."""
    return DebResolver(transport, cache, clock, listener)


def check_package(path: Path, package: LockedPackage, repository: Repository, keyring: Callable[[], Keyring]) -> None:
    """Packages of this family are not signed, the index that names them is: only whether this is the one that it names.
    Raises TrustError `wrong-package`, MetadataError `bad-package`."""
    archive.check_identity(path, package)


def names(request: str, package: LockedPackage) -> bool:
    """`name`, `name:arch`, `name=version`, `name/suite`."""
    return re.split("[:=/]", request, maxsplit=1)[0] == package.name


def is_newer(version: str, other: str) -> bool:
    """dpkg's order."""
    return version_key(version) > version_key(other)


def open_content(path: Path) -> BinaryIO:
    """The files of a verified package as an uncompressed tar stream. Raises MetadataError `bad-package`."""
    return archive.open_data_tar(path)


def host_mirrors(etc: Path) -> Mapping[str, str]:
    """URLs by mirror name that the build host's own package manager uses; `etc` is its /etc."""
    return apt_sources.host_mirrors(etc)


def databases() -> Sequence[str]:
    """Globs of the files of the package database."""
    return inventory.DATABASES


def installed(databases: Mapping[str, bytes]) -> tuple[InstalledPackage, ...]:
    """The installed packages. Raises MetadataError `bad-status` or `bad-paragraph`."""
    return inventory.installed(databases)


def licence_file(package: InstalledPackage) -> str:
    """Debian Policy §12.5."""
    return f"usr/share/doc/{package.name}/copyright"


def licence(package: InstalledPackage, content: bytes) -> Licence | None:
    """What a machine can read of a copyright file."""
    return copyright.read_licence(content)


def purl(package: InstalledPackage, vendor: str, release: str) -> str:
    """The package URL."""
    return inventory.purl(package, vendor, release)

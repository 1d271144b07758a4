"""The door to this family: `ospackage.family.PackageFamily`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

from os_image_composer.build.clock import Clock
from os_image_composer.build.events import Listener
from os_image_composer.errors import MetadataError
from os_image_composer.ospackage.inventory import InstalledPackage, Licence
from os_image_composer.ospackage.lock import LockedPackage
from os_image_composer.ospackage.openpgp import Keyring
from os_image_composer.ospackage.resolve import Repository, Resolver
from os_image_composer.ospackage.rpm import package, payload
from os_image_composer.ospackage.rpm.resolver import RpmResolver
from os_image_composer.ospackage.transport import Transport


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


def open_content(path: Path) -> BinaryIO:
    """The files of a verified package as an uncompressed tar stream. Raises MetadataError `bad-package`."""
    return payload.open_payload_tar(path)


def host_mirrors(etc: Path) -> Mapping[str, str]:
    """No URLs: a build host of another distribution knows none, and one of the same names them in the settings."""
    return {}


def databases() -> Sequence[str]:
    """The file of the package database, in rpm's own place and in that of older releases."""
    return ("usr/lib/sysimage/rpm/rpmdb.sqlite", "var/lib/rpm/rpmdb.sqlite")


def installed(databases: Mapping[str, bytes]) -> tuple[InstalledPackage, ...]:
    """Not built yet: raises MetadataError where there is a database."""
    if databases:
        raise MetadataError("not-built-yet", "the database of this family is there, but is not read yet")
    return ()


def licence_file(package: InstalledPackage) -> str:
    """None: the licence is a field of the database."""
    return "usr/lib/sysimage/rpm/rpmdb.sqlite"


def licence(content: bytes) -> Licence | None:
    """Nothing: see `licence_file`."""
    return None


def purl(package: InstalledPackage, vendor: str, release: str) -> str:
    """Source: package-url/purl-spec, type `rpm`."""
    distro = f"&distro={quote(f'{vendor}-{release}', safe='')}" if release else ""
    name, version = quote(package.name, safe=""), quote(package.version, safe=":")
    return f"pkg:rpm/{quote(vendor.lower(), safe='')}/{name}@{version}?arch={quote(package.arch, safe='')}{distro}"

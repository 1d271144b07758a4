"""The door to this family: `ospackage.family.PackageFamily`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO

from os_image_composer.build.clock import Clock
from os_image_composer.build.events import Listener
from os_image_composer.ospackage.deb import apt_sources, archive
from os_image_composer.ospackage.deb.resolver import DebResolver
from os_image_composer.ospackage.lock import LockedPackage
from os_image_composer.ospackage.openpgp import Keyring
from os_image_composer.ospackage.resolve import Repository, Resolver
from os_image_composer.ospackage.transport import Transport


def resolver(transport: Transport, cache: Path, clock: Clock, listener: Listener) -> Resolver:
    """What turns repositories and requests into package sets; `cache` is a folder for metadata."""
    return DebResolver(transport, cache, clock, listener)


def check_package(path: Path, package: LockedPackage, repository: Repository, keyring: Callable[[], Keyring]) -> None:
    """Nothing: packages of this family are not signed; the index that names them is."""


def open_content(path: Path) -> BinaryIO:
    """The files of a verified package as an uncompressed tar stream. Raises MetadataError `bad-package`."""
    return archive.open_data_tar(path)


def host_mirrors(etc: Path) -> Mapping[str, str]:
    """URLs by mirror name that the build host's own package manager uses; `etc` is its /etc."""
    return apt_sources.host_mirrors(etc)

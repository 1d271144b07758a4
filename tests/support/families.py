"""A small signed repository of either package family behind one face, for tests of what both share."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from os_image_composer.build.clock import FixedClock
from os_image_composer.build.events import Listener, silent
from os_image_composer.config.spec import PackageGroup
from os_image_composer.ospackage.family import family_for
from os_image_composer.ospackage.resolve import Repository, Resolution, SetRequest
from os_image_composer.ospackage.transport import Transport
from support.deb_repository import NOW, DebRepository, deb
from support.rpm_package import rpm
from support.rpm_repository import RpmRepository

FAMILIES = ("deb", "rpm")


@dataclass(frozen=True)
class Offered:
    """A repository with one package, `big`, of 300 kB that cannot be compressed. `signed`, `index` and `package` are
    files of it: what is read first, what that names, what that names."""

    family: str
    made: DebRepository | RpmRepository
    signed: Path
    index: Path
    package: Path

    @property
    def root(self) -> Path:
        return self.made.root

    def described(self, url: str) -> Repository:
        return self.made.described(url)

    def resolve(
        self, url: str, transport: Transport, metadata: Path, listener: Listener = silent, now: float = NOW + 60
    ) -> Resolution:
        """What `big` brings from the repository at `url`."""
        resolver = family_for(self.family).resolver(transport, metadata, FixedClock(now), listener)
        request = SetRequest("image", (PackageGroup("g", ("big",)),), essential=False)
        return resolver.resolve([self.described(url)], self.made.arch, [request])


def offered(family: str, root: Path) -> Offered:
    content = os.urandom(300_000)
    if family == "deb":
        package = deb("big", files={"./big": content}, form="")
        debs = DebRepository(root, by_hash=False).add(package).write()
        return Offered(family, debs, debs.inrelease, debs.index, debs.pool_path(package))
    other = rpm("big", files={"/big": content})
    rpms = RpmRepository(root).add(other).write()
    return Offered(family, rpms, rpms.repomd, rpms.index(), rpms.path(other))

"""RPM repositories on loopback, resolved with a clock that stands still."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from os_image_composer.build.clock import FixedClock
from os_image_composer.build.events import silent
from os_image_composer.config.network import Network
from os_image_composer.config.spec import PackageGroup
from os_image_composer.ospackage.resolve import Repository, Resolution, SetRequest
from os_image_composer.ospackage.rpm.resolver import RpmResolver
from os_image_composer.ospackage.transport import HttpTransport
from support.deb_repository import NOW, Server, served
from support.rpm_repository import RpmRepository

Resolve = Callable[..., Resolution]


@pytest.fixture
def repository(tmp_path: Path) -> RpmRepository:
    return RpmRepository(tmp_path / "mirror")


@pytest.fixture
def server(repository: RpmRepository) -> Iterator[Server]:
    with served(repository.root) as running:
        yield running


@pytest.fixture
def metadata(tmp_path: Path) -> Path:
    """The resolver's cache folder."""
    return tmp_path / "metadata"


@pytest.fixture
def resolve(repository: RpmRepository, server: Server, metadata: Path) -> Iterator[Resolve]:
    """Resolve names, or groups of names, from the test's repository, or from those that are given."""
    with HttpTransport(Network(timeout=0.3)) as transport:

        def run(
            *groups: str,
            described: Repository | None = None,
            further: tuple[Repository, ...] = (),
            now: float = NOW + 60,
            weak: bool = False,
        ) -> Resolution:
            resolver = RpmResolver(transport, metadata, FixedClock(now), silent)
            wanted = tuple(PackageGroup(f"g{n}", tuple(g.split())) for n, g in enumerate(groups))
            request = SetRequest("image", wanted, essential=False, weak_dependencies=weak)
            first = described or repository.described(server.url)
            return resolver.resolve([first, *further], repository.arch, [request])

        yield run


def chosen(found: Resolution) -> list[str]:
    """Name and version of everything in the image."""
    return [f"{p.name}-{p.version}" for p in found.sets["image"].packages()]


def names(found: Resolution) -> list[str]:
    return [p.name for p in found.sets["image"].packages()]

"""Repositories on loopback, resolved with a clock that stands still."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from os_image_composer.build.clock import FixedClock
from os_image_composer.build.events import silent
from os_image_composer.config.network import Network
from os_image_composer.config.spec import PackageGroup
from os_image_composer.ospackage.deb.resolver import DebResolver
from os_image_composer.ospackage.resolve import Repository, Resolution, SetRequest
from os_image_composer.ospackage.transport import HttpTransport
from support.deb_repository import NOW, DebRepository, Server, served

Resolve = Callable[..., Resolution]


@pytest.fixture
def repository(tmp_path: Path) -> DebRepository:
    return DebRepository(tmp_path / "mirror")


@pytest.fixture
def server(repository: DebRepository) -> Iterator[Server]:
    with served(repository.root) as running:
        yield running


@pytest.fixture
def transport() -> Iterator[HttpTransport]:
    with HttpTransport(Network(timeout=0.3)) as door:
        yield door


@pytest.fixture
def metadata(tmp_path: Path) -> Path:
    """The resolver's cache folder."""
    return tmp_path / "metadata"


@pytest.fixture
def resolve(repository: DebRepository, server: Server, transport: HttpTransport, metadata: Path) -> Resolve:
    """Resolve names, or groups of names, from the test's repository."""

    def run(
        *groups: str, essential: bool = False, described: Repository | None = None, now: float = NOW + 60
    ) -> Resolution:
        resolver = DebResolver(transport, metadata, FixedClock(now), silent)
        request = SetRequest(
            "image", tuple(PackageGroup(f"g{n}", tuple(g.split())) for n, g in enumerate(groups)), essential
        )
        return resolver.resolve([described or repository.described(server.url)], repository.arch, [request])

    return run

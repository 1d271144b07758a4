"""A list of mirrors: the next is asked where one cannot be reached, is stale, or has not what was signed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from os_image_composer.build.clock import FixedClock
from os_image_composer.build.events import Event, Note
from os_image_composer.config.network import Network
from os_image_composer.config.spec import PackageGroup
from os_image_composer.errors import ComposerError, MetadataError, TrustError
from os_image_composer.ospackage.cache import PackageCache
from os_image_composer.ospackage.deb.resolver import DebResolver
from os_image_composer.ospackage.fetch import Wanted, fetch_files
from os_image_composer.ospackage.resolve import Repository, Resolution, SetRequest
from os_image_composer.ospackage.transport import HttpTransport
from support.deb_repository import NOW, DebRepository, Server, SigningKey, deb, served

DAY = 86400
NOBODY = "http://127.0.0.1:1"


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os_image_composer.ospackage.retry.FIRST_PAUSE", 0.0)


@pytest.fixture
def other(repository: DebRepository, tmp_path: Path) -> Iterator[tuple[DebRepository, Server]]:
    """A second mirror of the same repository, as it is now."""
    repository.add(deb("hello")).write()
    shutil.copytree(repository.root, tmp_path / "other")
    with served(tmp_path / "other") as running:
        yield replace(repository, root=tmp_path / "other"), running


class Resolving:
    """Resolves `hello` and keeps what was told."""

    def __init__(self, transport: HttpTransport, metadata: Path) -> None:
        self.transport, self.metadata, self.told = transport, metadata, list[Event]()

    def __call__(self, described: Repository, now: float = NOW + 60) -> Resolution:
        resolver = DebResolver(self.transport, self.metadata, FixedClock(now), self.listen)
        return resolver.resolve([described], "amd64", [SetRequest("image", (PackageGroup("g", ("hello",)),), False)])

    def listen(self, event: Event) -> None:
        self.told.append(event)

    @property
    def warnings(self) -> list[str]:
        return [event.message for event in self.told if isinstance(event, Note) and event.level == "warning"]


@pytest.fixture
def resolving(metadata: Path) -> Iterator[Resolving]:
    with HttpTransport(Network(timeout=1)) as transport:
        yield Resolving(transport, metadata)


def break_signature(repository: DebRepository) -> None:
    repository.inrelease.write_bytes(repository.inrelease.read_bytes().replace(b"Origin: Test", b"Origin: Tesu"))


def break_index(repository: DebRepository) -> None:
    for file in repository.directory.rglob("*"):
        if file.is_file() and file != repository.inrelease:
            file.write_bytes(b"rubbish")


def expire(repository: DebRepository) -> None:
    replace(repository, valid_until=NOW + 30).write()


def remove(repository: DebRepository) -> None:
    shutil.rmtree(repository.directory)


@pytest.mark.parametrize("spoil", [break_signature, break_index, expire, remove], ids=lambda f: f.__name__)
def test_mirror_that_does_not_have_what_was_signed_gives_way_to_the_next(
    repository: DebRepository, server: Server, other: tuple[DebRepository, Server], resolving: Resolving, spoil: object
) -> None:
    assert callable(spoil)
    spoil(repository)
    found = resolving(repository.described(server.url, other[1].url))
    assert found.repositories[0].url == other[1].url
    assert [p.name for p in found.sets["image"].packages()] == ["hello"]
    (warning,) = resolving.warnings
    assert f"the next mirror is asked, {other[1].url}" in warning


def test_mirror_that_cannot_be_reached_gives_way_to_the_next(
    other: tuple[DebRepository, Server], resolving: Resolving
) -> None:
    found = resolving(other[0].described(NOBODY, other[1].url))
    assert found.repositories[0].url == other[1].url


def test_stale_mirror_gives_way_to_one_as_new_as_what_was_seen(
    repository: DebRepository, server: Server, other: tuple[DebRepository, Server], resolving: Resolving
) -> None:
    resolving(repository.described(server.url))
    replace(repository, date=NOW - DAY).write()
    found = resolving(repository.described(server.url, other[1].url))
    assert (found.repositories[0].url, found.source_date_epoch) == (other[1].url, int(NOW))
    assert "older than what this repository gave before" in resolving.warnings[0]


def test_when_no_mirror_serves_the_first_failure_is_told_and_the_others_with_it(
    repository: DebRepository, server: Server, other: tuple[DebRepository, Server], resolving: Resolving
) -> None:
    break_signature(repository)
    expire(other[0])
    with pytest.raises(TrustError) as caught:
        resolving(repository.described(server.url, other[1].url, NOBODY))
    assert caught.value.reference == "bad-signature"
    assert [line.split(": ")[0] for line in caught.value.detail] == [other[1].url, NOBODY]
    assert "has expired" in caught.value.detail[0]
    assert not resolving.metadata.exists()


# -- what was seen before ------------------------------------------------------------------------------------


def rollback(resolving: Resolving, described: Repository) -> ComposerError:
    with pytest.raises(MetadataError) as caught:
        resolving(described)
    assert caught.value.reference == "metadata-rollback"
    return caught.value


def test_another_mirror_does_not_start_anew(
    repository: DebRepository, server: Server, other: tuple[DebRepository, Server], resolving: Resolving
) -> None:
    resolving(repository.described(server.url))
    replace(other[0], date=NOW - DAY).write()
    error = rollback(resolving, other[0].described(other[1].url))
    assert "repositories: {test: {accept_older_metadata: true}}" in str(error.hint)


def test_repository_of_another_key_by_the_same_name_has_a_memory_of_its_own(
    repository: DebRepository, server: Server, other: tuple[DebRepository, Server], resolving: Resolving
) -> None:
    resolving(repository.described(server.url))
    look_alike = replace(other[0], date=NOW - DAY, key=SigningKey("Look-alike")).write()
    assert resolving(look_alike.described(other[1].url)).source_date_epoch == int(NOW - DAY)
    rollback(resolving, replace(repository, date=NOW - DAY).write().described(server.url))


def test_older_metadata_is_accepted_where_the_settings_say_so_and_the_memory_stays(
    repository: DebRepository, server: Server, resolving: Resolving
) -> None:
    described = repository.add(deb("hello")).write().described(server.url)
    resolving(described)
    replace(repository, date=NOW - DAY).write()
    found = resolving(replace(described, accept_older_metadata=True))
    assert found.source_date_epoch == int(NOW - DAY)
    assert "went back to older metadata" in resolving.warnings[0]
    rollback(resolving, described)


def test_expired_metadata_is_refused_also_where_older_is_accepted(
    repository: DebRepository, server: Server, resolving: Resolving
) -> None:
    described = repository.add(deb("hello")).write().described(server.url)
    expire(repository)
    with pytest.raises(MetadataError) as caught:
        resolving(replace(described, accept_older_metadata=True))
    assert caught.value.reference == "metadata-expired"


# -- packages ------------------------------------------------------------------------------------------------


@pytest.fixture
def wanted(server: Server, other: tuple[DebRepository, Server]) -> Wanted:
    repository, far = other
    package = repository.packages[0]
    path = repository.pool_path(package).relative_to(repository.root)
    digest = repository.index_text().decode().split("SHA256: ")[1].split()[0]
    return Wanted((f"{server.url}/{path}", f"{far.url}/{path}"), digest, len(package.data), "hello")


def fetched(wanted: list[Wanted], cache: PackageCache, transport: HttpTransport, workers: int = 8) -> list[str]:
    """The warnings of fetching."""
    told: list[Event] = []

    def listen(event: Event) -> None:
        told.append(event)

    fetch_files(wanted, cache, transport, listen, workers, lambda _: None)
    return [event.message for event in told if isinstance(event, Note) and event.level == "warning"]


@pytest.mark.parametrize("fault", ["wrong bytes", "longer", "absent", "cut", "no server"])
def test_package_comes_from_the_next_mirror(
    repository: DebRepository, server: Server, wanted: Wanted, tmp_path: Path, transport: HttpTransport, fault: str
) -> None:
    path = repository.pool_path(repository.packages[0])
    if fault == "wrong bytes":
        path.write_bytes(bytes(reversed(path.read_bytes())))
    elif fault == "longer":
        path.write_bytes(path.read_bytes() + b"x")
    elif fault == "absent":
        path.unlink()
    elif fault == "cut":
        path.write_bytes(b"y" * len(path.read_bytes()))
        server.cut, server.ranges = 99, False
    else:
        wanted = replace(wanted, urls=(wanted.urls[0].replace(server.url, NOBODY), wanted.urls[1]))
    cache = PackageCache(tmp_path / "packages")
    (warning,) = fetched([wanted], cache, transport)
    assert wanted.urls[1] in warning
    assert cache.verified(wanted.sha256, wanted.size)
    assert not list((cache.root / "partial").iterdir())


def test_mirror_that_was_not_reached_is_asked_last_from_then_on(
    other: tuple[DebRepository, Server], tmp_path: Path, transport: HttpTransport
) -> None:
    repository, far = other
    repository.add(*(deb(f"p{n}") for n in range(6))).write()
    entries = repository.index_text().decode().split("\n\n")
    files = []
    for package, entry in zip(repository.packages, entries, strict=True):
        path = repository.pool_path(package).relative_to(repository.root)
        digest = entry.split("SHA256: ")[1].split()[0]
        files.append(Wanted((f"{NOBODY}/{path}", f"{far.url}/{path}"), digest, len(package.data), package.file_name))
    cache = PackageCache(tmp_path / "packages")
    assert len(fetched(files, cache, transport, workers=1)) == 1
    assert all(cache.has(file.sha256) for file in files)

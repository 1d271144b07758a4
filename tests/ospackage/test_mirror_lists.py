"""A list of mirrors: the next is asked where one cannot be reached, is stale, or has not what was signed."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from os_image_composer.build.clock import FixedClock
from os_image_composer.build.events import Event, Note
from os_image_composer.config.network import Network
from os_image_composer.config.spec import PackageGroup
from os_image_composer.errors import ComposerError, MetadataError, TrustError
from os_image_composer.ospackage.cache import PackageCache
from os_image_composer.ospackage.family import family_for
from os_image_composer.ospackage.fetch import Wanted, fetch_files
from os_image_composer.ospackage.resolve import Repository, Resolution, SetRequest
from os_image_composer.ospackage.transport import HttpTransport
from support.deb_repository import NOW, DebRepository, MadePackage, Server, SigningKey, deb, served
from support.families import FAMILIES
from support.rpm_package import MadeRpm, rpm
from support.rpm_repository import RpmRepository

Made = DebRepository | RpmRepository
EARLIER = int(NOW) - 86400
NOBODY = "http://127.0.0.1:1"


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os_image_composer.ospackage.retry.FIRST_PAUSE", 0.0)


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


only_deb = pytest.mark.parametrize("family", ["deb"], indirect=True)  # no repomd.xml says when it expires


@pytest.fixture
def repository(family: str, tmp_path: Path) -> Made:
    """With one package, `hello`."""
    if family == "deb":
        return DebRepository(tmp_path / "mirror").add(deb("hello")).write()
    return RpmRepository(tmp_path / "mirror").add(rpm("hello")).write()


def package_path(repository: Made, package: MadePackage | MadeRpm) -> Path:
    if isinstance(repository, DebRepository):
        assert isinstance(package, MadePackage)
        return repository.pool_path(package)
    assert isinstance(package, MadeRpm)
    return repository.path(package)


@pytest.fixture
def other(repository: Made, tmp_path: Path) -> Iterator[tuple[Made, Server]]:
    """A second mirror of the same repository, as it is now."""
    shutil.copytree(repository.root, tmp_path / "other")
    with served(tmp_path / "other") as running:
        yield replace(repository, root=tmp_path / "other"), running


class Resolving:
    """Resolves `hello` and keeps what was told."""

    def __init__(self, family: str, transport: HttpTransport, metadata: Path) -> None:
        self.family, self.transport, self.metadata, self.told = family, transport, metadata, list[Event]()

    def __call__(self, described: Repository, now: float = NOW + 60) -> Resolution:
        code = family_for(self.family)
        resolver = code.resolver(self.transport, self.metadata, FixedClock(now), self.listen)
        arch = {"deb": "amd64", "rpm": "x86_64"}[self.family]
        return resolver.resolve([described], arch, [SetRequest("image", (PackageGroup("g", ("hello",)),), False)])

    def listen(self, event: Event) -> None:
        self.told.append(event)

    @property
    def warnings(self) -> list[str]:
        return [event.message for event in self.told if isinstance(event, Note) and event.level == "warning"]


@pytest.fixture
def resolving(family: str, metadata: Path) -> Iterator[Resolving]:
    with HttpTransport(Network(timeout=1)) as transport:
        yield Resolving(family, transport, metadata)


def break_signature(repository: Made) -> None:
    data = repository.signed_file.read_bytes()
    place = data.index(b"e", len(data) // 4)
    repository.signed_file.write_bytes(data[:place] + b"E" + data[place + 1 :])


def break_index(repository: Made) -> None:
    for file in repository.index_files():
        file.write_bytes(b"rubbish")


def unsign(repository: Made) -> None:
    repository.unsign()


def remove(repository: Made) -> None:
    shutil.rmtree(repository.signed_file.parent)


def expire(repository: Made) -> None:
    assert isinstance(repository, DebRepository)
    replace(repository, valid_until=NOW + 30).write()


@pytest.mark.parametrize("spoil", [break_signature, break_index, unsign, remove], ids=lambda f: f.__name__)
def test_mirror_that_does_not_have_what_was_signed_gives_way_to_the_next(
    repository: Made, server: Server, other: tuple[Made, Server], resolving: Resolving, spoil: Callable[[Made], None]
) -> None:
    gives_way(repository, server, other, resolving, spoil)


@only_deb
def test_mirror_whose_metadata_expired_gives_way_to_the_next(
    repository: Made, server: Server, other: tuple[Made, Server], resolving: Resolving
) -> None:
    gives_way(repository, server, other, resolving, expire)


def gives_way(
    repository: Made, server: Server, other: tuple[Made, Server], resolving: Resolving, spoil: Callable[[Made], None]
) -> None:
    spoil(repository)
    found = resolving(repository.described(server.url, other[1].url))
    assert found.repositories[0].url == other[1].url
    assert [p.name for p in found.sets["image"].packages()] == ["hello"]
    (warning,) = resolving.warnings
    assert f"the next mirror is asked, {other[1].url}" in warning


def test_mirror_that_cannot_be_reached_gives_way_to_the_next(other: tuple[Made, Server], resolving: Resolving) -> None:
    found = resolving(other[0].described(NOBODY, other[1].url))
    assert found.repositories[0].url == other[1].url


def test_stale_mirror_gives_way_to_one_as_new_as_what_was_seen(
    repository: Made, server: Server, other: tuple[Made, Server], resolving: Resolving
) -> None:
    resolving(repository.described(server.url))
    replace(repository, date=EARLIER).write()
    found = resolving(repository.described(server.url, other[1].url))
    assert (found.repositories[0].url, found.source_date_epoch) == (other[1].url, int(NOW))
    assert "older than what this repository gave before" in resolving.warnings[0]


def test_when_no_mirror_serves_the_first_failure_is_told_and_the_others_with_it(
    repository: Made, server: Server, other: tuple[Made, Server], resolving: Resolving
) -> None:
    break_signature(repository)
    unsign(other[0])
    with pytest.raises(TrustError) as caught:
        resolving(repository.described(server.url, other[1].url, NOBODY))
    assert caught.value.reference == "bad-signature"
    assert [line.split(": ")[0] for line in caught.value.detail] == [other[1].url, NOBODY]
    assert "signed" in caught.value.detail[0]
    assert not resolving.metadata.exists()


# -- what was seen before ------------------------------------------------------------------------------------


def rollback(resolving: Resolving, described: Repository) -> ComposerError:
    with pytest.raises(MetadataError) as caught:
        resolving(described)
    assert caught.value.reference == "metadata-rollback"
    return caught.value


def test_another_mirror_does_not_start_anew(
    repository: Made, server: Server, other: tuple[Made, Server], resolving: Resolving
) -> None:
    resolving(repository.described(server.url))
    replace(other[0], date=EARLIER).write()
    error = rollback(resolving, other[0].described(other[1].url))
    assert "repositories: {test: {accept_older_metadata: true}}" in str(error.hint)


def test_repository_of_another_key_by_the_same_name_has_a_memory_of_its_own(
    repository: Made, server: Server, other: tuple[Made, Server], resolving: Resolving
) -> None:
    resolving(repository.described(server.url))
    look_alike = replace(other[0], date=EARLIER, key=SigningKey("Look-alike")).write()
    assert resolving(look_alike.described(other[1].url)).source_date_epoch == EARLIER
    rollback(resolving, replace(repository, date=EARLIER).write().described(server.url))


def test_older_metadata_is_accepted_where_the_settings_say_so_and_the_memory_stays(
    repository: Made, server: Server, resolving: Resolving
) -> None:
    described = repository.described(server.url)
    resolving(described)
    replace(repository, date=EARLIER).write()
    found = resolving(replace(described, accept_older_metadata=True))
    assert found.source_date_epoch == EARLIER
    assert "went back to older metadata" in resolving.warnings[0]
    rollback(resolving, described)


@only_deb
def test_expired_metadata_is_refused_also_where_older_is_accepted(
    repository: Made, server: Server, resolving: Resolving
) -> None:
    described = repository.described(server.url)
    expire(repository)
    with pytest.raises(MetadataError) as caught:
        resolving(replace(described, accept_older_metadata=True))
    assert caught.value.reference == "metadata-expired"


# -- packages ------------------------------------------------------------------------------------------------


def wanted_of(repository: Made, package: MadePackage | MadeRpm, *urls: str) -> Wanted:
    file = package_path(repository, package)
    path, data = file.relative_to(repository.root), file.read_bytes()
    return Wanted(tuple(f"{url}/{path}" for url in urls), sha256(data).hexdigest(), len(data), package.file_name)


@pytest.fixture
def wanted(repository: Made, server: Server, other: tuple[Made, Server]) -> Wanted:
    return wanted_of(repository, repository.packages[0], server.url, other[1].url)


def fetched(wanted: list[Wanted], cache: PackageCache, transport: HttpTransport, workers: int = 8) -> list[str]:
    """The warnings of fetching."""
    told: list[Event] = []

    def listen(event: Event) -> None:
        told.append(event)

    fetch_files(wanted, cache, transport, listen, workers, lambda _: None)
    return [event.message for event in told if isinstance(event, Note) and event.level == "warning"]


@pytest.mark.parametrize("fault", ["wrong bytes", "longer", "absent", "cut", "no server"])
def test_package_comes_from_the_next_mirror(
    repository: Made, server: Server, wanted: Wanted, tmp_path: Path, transport: HttpTransport, fault: str
) -> None:
    path = package_path(repository, repository.packages[0])
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
    other: tuple[Made, Server], tmp_path: Path, transport: HttpTransport
) -> None:
    repository, far = other
    if isinstance(repository, DebRepository):
        repository.add(*(deb(f"p{n}") for n in range(6))).write()
    else:
        repository.add(*(rpm(f"p{n}") for n in range(6))).write()
    files = [wanted_of(repository, package, NOBODY, far.url) for package in repository.packages]
    cache = PackageCache(tmp_path / "packages")
    assert len(fetched(files, cache, transport, workers=1)) == 1
    assert all(cache.has(file.sha256) for file in files)

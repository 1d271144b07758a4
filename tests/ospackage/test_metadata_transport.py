"""What a mirror can do while metadata is read, the same for both families: each ends in its own error, nothing of it is
kept, and the next try with an honest mirror succeeds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from os_image_composer.config.network import Network
from os_image_composer.errors import ComposerError
from os_image_composer.ospackage.transport import HttpTransport
from support.deb_repository import Server, served
from support.families import FAMILIES, Offered, offered


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os_image_composer.ospackage.retry.FIRST_PAUSE", 0.0)


@pytest.fixture(params=FAMILIES)
def repository(request: pytest.FixtureRequest, tmp_path: Path) -> Offered:
    return offered(request.param, tmp_path / "mirror")


@pytest.fixture
def server(repository: Offered) -> Iterator[Server]:
    with served(repository.root) as running:
        yield running


@pytest.fixture
def transport() -> Iterator[HttpTransport]:
    with HttpTransport(Network(timeout=0.2)) as door:
        yield door


@pytest.fixture
def metadata(tmp_path: Path) -> Path:
    return tmp_path / "metadata"


def refused(repository: Offered, server: Server, transport: HttpTransport, metadata: Path) -> str:
    with pytest.raises(ComposerError) as caught:
        repository.resolve(server.url, transport, metadata)
    whole = [p for p in metadata.rglob("*") if p.is_file() and "partial" not in p.parts]
    assert whole == []
    return caught.value.reference


def accepted(repository: Offered, server: Server, transport: HttpTransport, metadata: Path) -> bool:
    found = repository.resolve(server.url, transport, metadata)
    return [p.name for p in found.sets["image"].packages()] == ["big"]


@pytest.mark.parametrize("which", ["signed", "index"])
def test_file_that_is_missing_is_told(
    repository: Offered, server: Server, transport: HttpTransport, metadata: Path, which: str
) -> None:
    path: Path = getattr(repository, which)
    data = path.read_bytes()
    path.unlink()
    assert refused(repository, server, transport, metadata) == "not-found"
    path.write_bytes(data)
    assert accepted(repository, server, transport, metadata)


@pytest.mark.parametrize("which", ["signed", "index"])
def test_file_with_a_changed_byte_is_refused(
    repository: Offered, server: Server, transport: HttpTransport, metadata: Path, which: str
) -> None:
    path: Path = getattr(repository, which)
    good = path.read_bytes()
    place = good.index(b"e", len(good) // 4) if which == "signed" else len(good) // 2
    path.write_bytes(good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])
    assert refused(repository, server, transport, metadata) in ("bad-signature", "wrong-bytes")
    path.write_bytes(good)
    assert accepted(repository, server, transport, metadata)


def test_index_that_is_longer_than_signed_is_refused(
    repository: Offered, server: Server, transport: HttpTransport, metadata: Path
) -> None:
    repository.index.write_bytes(repository.index.read_bytes() + b"x")
    assert refused(repository, server, transport, metadata) == "too-large"


def test_index_that_is_cut_off_is_refused(
    repository: Offered, server: Server, transport: HttpTransport, metadata: Path
) -> None:
    good = repository.index.read_bytes()
    repository.index.write_bytes(good[:-10])
    assert refused(repository, server, transport, metadata) == "mirror-unavailable"
    repository.index.write_bytes(good)
    assert accepted(repository, server, transport, metadata)


@pytest.mark.parametrize("which", ["signed", "index"])
def test_file_without_end_is_given_up(
    repository: Offered, server: Server, transport: HttpTransport, metadata: Path, which: str
) -> None:
    path: Path = getattr(repository, which)
    with path.open("r+b") as file:
        file.truncate(64 << 20)
    assert refused(repository, server, transport, metadata) == "too-large"


def test_server_that_stalls_is_given_up(
    repository: Offered, server: Server, transport: HttpTransport, metadata: Path
) -> None:
    server.stall = True
    assert refused(repository, server, transport, metadata) == "mirror-unavailable"
    server.stall = False
    assert accepted(repository, server, transport, metadata)


def test_connection_that_is_cut_is_tried_again(
    repository: Offered, server: Server, transport: HttpTransport, metadata: Path
) -> None:
    server.cut = 2
    assert accepted(repository, server, transport, metadata)


def test_server_that_is_busy_for_a_moment_is_asked_again(
    repository: Offered, server: Server, transport: HttpTransport, metadata: Path
) -> None:
    server.failures = 2
    assert accepted(repository, server, transport, metadata)
    server.failures = 1000
    with pytest.raises(ComposerError):
        repository.resolve(server.url, transport, metadata)


def test_redirect_to_a_file_of_the_host_is_not_followed(
    repository: Offered, server: Server, transport: HttpTransport, metadata: Path
) -> None:
    server.redirect = repository.signed.as_uri()
    assert refused(repository, server, transport, metadata) == "insecure-redirect"


def test_nobody_at_the_address_is_told(repository: Offered, transport: HttpTransport, metadata: Path) -> None:
    nobody = Server(url="http://127.0.0.1:1")
    assert refused(repository, nobody, transport, metadata) == "mirror-unavailable"

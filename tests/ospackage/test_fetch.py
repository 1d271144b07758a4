"""Downloads: whole, right, resumed, or not there at all."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from os_image_composer.build.events import Event, Note, Transferred, silent
from os_image_composer.config.network import Network
from os_image_composer.errors import FetchError, StoreError, TrustError
from os_image_composer.ospackage.cache import PackageCache
from os_image_composer.ospackage.fetch import Wanted, fetch_files
from os_image_composer.ospackage.transport import HttpTransport, MemoryTransport, TransientFetchError
from support.deb_repository import Server, served
from support.families import FAMILIES, Offered, offered


@pytest.fixture
def cache(tmp_path: Path) -> PackageCache:
    return PackageCache(tmp_path / "packages")


@pytest.fixture(params=FAMILIES)
def repository(request: pytest.FixtureRequest, tmp_path: Path) -> Offered:
    """With a package of 300 kB that cannot be compressed."""
    return offered(request.param, tmp_path / "mirror")


@pytest.fixture
def wanted(repository: Offered, server: Server, transport: HttpTransport, metadata: Path) -> Wanted:
    (package,) = repository.resolve(server.url, transport, metadata).sets["image"].packages()
    server.requests.clear()
    return Wanted((f"{server.url}/{package.path}",), package.sha256, package.size, package.name)


def fetch(wanted: Wanted, cache: PackageCache, transport: HttpTransport) -> list[Event]:
    events: list[Event] = []

    def listen(event: Event) -> None:
        events.append(event)

    fetch_files([wanted], cache, transport, listen, pause=lambda _: None)
    return events


def kept(cache: PackageCache) -> list[Path]:
    return [p for p in cache.root.rglob("*") if p.is_file()] if cache.root.exists() else []


def test_fetched_file_has_its_bytes_under_its_digest(
    wanted: Wanted, cache: PackageCache, transport: HttpTransport
) -> None:
    events = fetch(wanted, cache, transport)
    with cache.open_verified(wanted.sha256, wanted.size) as file:
        assert len(file.read()) == wanted.size
    assert events[-1] == Transferred("big", wanted.size, wanted.size, 1)
    assert kept(cache) == [cache.path(wanted.sha256)]


def test_second_fetch_asks_nobody(
    wanted: Wanted, cache: PackageCache, transport: HttpTransport, server: Server
) -> None:
    fetch(wanted, cache, transport)
    server.requests.clear()
    fetch(wanted, cache, transport)
    assert server.requests == []


def test_changed_byte_in_a_package_is_refused_and_nothing_stays(
    wanted: Wanted, cache: PackageCache, transport: HttpTransport, repository: Offered
) -> None:
    path = repository.package
    data = bytearray(path.read_bytes())
    data[1000] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(TrustError) as caught:
        fetch(wanted, cache, transport)
    assert caught.value.reference == "wrong-bytes"
    assert kept(cache) == []


def test_package_longer_than_signed_is_refused(
    wanted: Wanted, cache: PackageCache, transport: HttpTransport, repository: Offered
) -> None:
    path = repository.package
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(FetchError) as caught:
        fetch(wanted, cache, transport)
    assert caught.value.reference == "too-large"
    assert not cache.has(wanted.sha256)


def test_cut_download_goes_on_where_it_ended(
    wanted: Wanted, cache: PackageCache, transport: HttpTransport, server: Server
) -> None:
    server.cut = 1
    events = fetch(wanted, cache, transport)
    assert cache.verified(wanted.sha256, wanted.size)
    assert [r for _, r in server.requests] == ["", f"bytes={wanted.size // 2}-"]
    assert any(isinstance(e, Note) and "trying again" in e.message for e in events)
    received = [e.received for e in events if isinstance(e, Transferred)]
    assert received[-1] == wanted.size == max(received)


def test_download_that_a_killed_process_left_is_resumed(
    wanted: Wanted, cache: PackageCache, transport: HttpTransport, server: Server, repository: Offered
) -> None:
    whole = repository.package.read_bytes()
    with cache.partial(wanted.sha256) as file:
        file.write(whole[:1234])
    fetch(wanted, cache, transport)
    assert [r for _, r in server.requests] == ["bytes=1234-"]
    assert cache.verified(wanted.sha256).read_bytes() == whole


def test_server_without_ranges_is_read_from_the_start(
    wanted: Wanted, cache: PackageCache, transport: HttpTransport, server: Server, repository: Offered
) -> None:
    server.ranges = False
    with cache.partial(wanted.sha256) as file:
        file.write(b"rubbish")
    fetch(wanted, cache, transport)
    assert cache.verified(wanted.sha256).read_bytes() == repository.package.read_bytes()


def test_wrong_bytes_from_an_earlier_download_do_not_last(
    wanted: Wanted, cache: PackageCache, transport: HttpTransport
) -> None:
    with cache.partial(wanted.sha256) as file:
        file.write(b"rubbish")
    fetch(wanted, cache, transport)
    assert cache.verified(wanted.sha256, wanted.size)


def test_download_that_always_ends_early_is_an_error(
    wanted: Wanted, cache: PackageCache, transport: HttpTransport, server: Server
) -> None:
    server.cut, server.ranges = 99, False
    with pytest.raises(TransientFetchError) as caught:
        fetch(wanted, cache, transport)
    assert caught.value.reference == "mirror-unavailable"
    assert not cache.has(wanted.sha256)


def test_stalled_server_is_given_up(wanted: Wanted, cache: PackageCache, server: Server) -> None:
    server.stall, server.ranges = True, False
    start = time.monotonic()
    with HttpTransport(Network(timeout=0.05)) as transport, pytest.raises(TransientFetchError):
        fetch(wanted, cache, transport)
    assert time.monotonic() - start < 3
    assert not cache.has(wanted.sha256)


def test_server_that_is_busy_for_a_moment_is_asked_again(
    wanted: Wanted, cache: PackageCache, transport: HttpTransport, server: Server
) -> None:
    server.failures = 2
    fetch(wanted, cache, transport)
    assert cache.has(wanted.sha256)


def test_missing_package_is_asked_for_once(
    wanted: Wanted, cache: PackageCache, transport: HttpTransport, server: Server
) -> None:
    gone = Wanted((wanted.urls[0] + "x",), wanted.sha256, wanted.size, "gone")
    with pytest.raises(FetchError) as caught:
        fetch(gone, cache, transport)
    assert caught.value.reference == "not-found"
    assert len(server.requests) == 1


def test_changed_cached_file_is_refused_and_fetched_again(
    wanted: Wanted, cache: PackageCache, transport: HttpTransport
) -> None:
    fetch(wanted, cache, transport)
    path = cache.path(wanted.sha256)
    path.chmod(0o644)
    path.write_bytes(b"x" * wanted.size)
    with pytest.raises(TrustError) as caught:
        cache.open_verified(wanted.sha256, wanted.size)
    assert caught.value.reference == "cached-file-changed"
    assert not path.exists()
    path.write_bytes(b"y" * wanted.size)
    events = fetch(wanted, cache, transport)
    assert [e.level for e in events if isinstance(e, Note)] == ["warning"]
    assert cache.verified(wanted.sha256, wanted.size)


def _linked(path: Path) -> None:
    """The very file, at another place."""
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def _flipped(path: Path) -> None:
    data = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(data[:1000] + bytes([data[1000] ^ 1]) + data[1001:])


def _resized(path: Path, size: int) -> None:
    path.chmod(0o644)
    os.truncate(path, size)


def _nowhere(path: Path) -> None:
    path.unlink()
    path.symlink_to("gone")


_DAMAGES: dict[str, Callable[[Path], object]] = {
    "flipped": _flipped,
    "truncated": lambda path: _resized(path, 1000),
    "empty": lambda path: _resized(path, 0),
    "longer": lambda path: _resized(path, path.stat().st_size + 1),
    "a link to the same": _linked,
    "a link to nothing": _nowhere,
    "missing": lambda path: path.unlink(),
}


@pytest.mark.parametrize("damage", _DAMAGES)
def test_damaged_cached_package_is_told_and_fetched_again(
    damage: str, wanted: Wanted, cache: PackageCache, transport: HttpTransport
) -> None:
    fetch(wanted, cache, transport)
    path = cache.path(wanted.sha256)
    good = path.read_bytes()
    _DAMAGES[damage](path)
    events = fetch(wanted, cache, transport)
    told = [event for event in events if isinstance(event, Note) and "is not what was put there" in event.message]
    assert len(told) == (0 if damage == "missing" else 1)
    assert not path.is_symlink() and path.read_bytes() == good


def test_cache_that_cannot_be_made_says_so(tmp_path: Path, wanted: Wanted, transport: HttpTransport) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError) as caught:
        fetch(wanted, PackageCache(tmp_path / "file/below"), transport)
    assert caught.value.reference == "cache-not-writable"


def test_file_url_is_read_from_an_offset(tmp_path: Path, transport: HttpTransport) -> None:
    (tmp_path / "a b").write_bytes(b"0123456789")
    with transport.open((tmp_path / "a b").as_uri(), limit=10, offset=4) as reply:
        assert b"".join(reply.chunks) == b"456789"
    with pytest.raises(FetchError), transport.open((tmp_path / "a b").as_uri(), limit=9) as reply:
        b"".join(reply.chunks)


def test_redirect_is_followed_but_never_to_a_file(
    wanted: Wanted, cache: PackageCache, transport: HttpTransport, server: Server, repository: Offered
) -> None:
    with served(repository.root) as other:
        server.redirect = wanted.urls[0].replace(server.url, other.url)
        fetch(wanted, cache, transport)
        assert cache.has(wanted.sha256)
    server.redirect = repository.package.as_uri()
    cache.remove(wanted.sha256)
    with pytest.raises(FetchError) as caught:
        fetch(wanted, cache, transport)
    assert caught.value.reference == "insecure-redirect"


def test_memory_transport_gives_what_it_holds() -> None:
    door = MemoryTransport({"http://x/a": b"abc"})
    with door.open("http://x/a", limit=3, offset=1) as reply:
        assert b"".join(reply.chunks) == b"bc"
    with pytest.raises(FetchError), door.open("http://x/b", limit=3):
        pass


def test_first_failure_gives_the_other_downloads_up(
    wanted: Wanted, cache: PackageCache, transport: HttpTransport
) -> None:
    gone = Wanted((wanted.urls[0] + "x",), "0" * 64, 10, "gone")
    with pytest.raises(FetchError) as caught:
        fetch_files([wanted, gone], cache, transport, silent, pause=lambda _: None)
    assert caught.value.reference == "not-found"

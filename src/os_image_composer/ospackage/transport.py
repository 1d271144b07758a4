"""The one door to HTTP: a stream of bytes for a URL, from an offset on.

`http:`, `https:` and `file:` URLs. A redirect never leads from https to http or to a file, and no download gives more
than the limit it was asked with. What went wrong is a FetchError; one that a second try may mend is a
TransientFetchError.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol
from urllib.parse import unquote, urljoin, urlsplit

from os_image_composer.build.clock import Clock, SystemClock
from os_image_composer.config.network import Network
from os_image_composer.errors import FetchError
from os_image_composer.ospackage.http_failure import TransientFetchError, failure_of, proxy_refused
from os_image_composer.ospackage.routes import Routes

if TYPE_CHECKING:
    import httpx

__all__ = ["HttpTransport", "MemoryTransport", "OfflineTransport", "Reply", "TransientFetchError", "Transport"]

CHUNK = 1 << 18
REDIRECTS = 5
SLOWEST = 100  # bytes a second
_NOT_THERE = (404, 410)
_TRY_AGAIN = (408, 425, 429)


@dataclass(frozen=True)
class Reply:
    """The bytes of a resource from `offset` on: 0 where the server does not know ranges."""

    offset: int
    chunks: Iterator[bytes]


class Transport(Protocol):
    def open(self, url: str, *, limit: int, offset: int = 0) -> AbstractContextManager[Reply]:
        """The resource at `url` from byte `offset` on. Raises FetchError: `not-found`, `too-large` when the
        whole resource has more than `limit` bytes, `mirror-refused`, and the transient `mirror-unavailable`."""


class HttpTransport:
    """HTTP/1.1 with kept connections; safe to use from several threads. `identify_to` are the hosts (with port) that
    may see the client certificate; None: all that no redirect names. Raises UsageError where a file that the network
    settings name cannot be used."""

    def __init__(
        self,
        network: Network | None = None,
        *,
        connections: int = 16,
        clock: Clock | None = None,
        identify_to: Collection[str] | None = None,
    ) -> None:
        self._network = network or Network()
        self._routes = Routes(self._network, connections, identify_to)
        self._clock = clock or SystemClock()

    def close(self) -> None:
        self._routes.close()

    def __enter__(self) -> HttpTransport:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def open(self, url: str, *, limit: int, offset: int = 0) -> Iterator[Reply]:
        scheme = urlsplit(url).scheme
        if scheme == "file":
            with OfflineTransport().open(url, limit=limit, offset=offset) as reply:
                yield reply
            return
        if scheme not in ("http", "https"):
            raise FetchError("unknown-scheme", f"cannot fetch {url}", cause=f"no {scheme or 'such'} transport")
        import httpx  # a plan from a lock asks no server, and the library takes a fifth of a second to load

        try:
            with self._response(url, offset) as response:
                start = _start(url, response, offset, self._routes.knows(url))
                _refuse_length(url, response, start, limit)
                # Raw, as it comes: a cut connection loses nothing.
                chunks = _steady(url, response.iter_raw(), self._network.timeout, self._clock)
                yield _bounded(url, start, limit, chunks)
        except httpx.HTTPError as error:
            raise failure_of(error, url, self._network.proxy_for(url)) from error

    @contextmanager
    def _response(self, url: str, offset: int) -> Iterator[httpx.Response]:
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        first = urlsplit(url).netloc
        for _ in range(REDIRECTS + 1):
            route = self._routes.to(url, redirected=urlsplit(url).netloc != first)
            with route.client.stream("GET", url, headers=headers, auth=route.auth) as response:
                if not response.is_redirect:
                    yield response
                    return
                url = _redirected(url, response.headers["location"])
        raise FetchError("too-many-redirects", f"cannot fetch {url}", cause=f"more than {REDIRECTS} redirects")


def _redirected(url: str, location: str) -> str:
    target = urljoin(url, location)
    old, new = urlsplit(url), urlsplit(target)
    if new.scheme not in ("http", "https") or (old.scheme == "https" and new.scheme == "http"):
        raise FetchError(
            "insecure-redirect", f"{url} redirects to {target}", cause=f"{old.scheme} must not lead to {new.scheme}"
        )
    if "@" in new.netloc:
        raise FetchError("insecure-redirect", f"{url} redirects to a URL with a user name", cause=new.hostname)
    return target


def _steady(url: str, chunks: Iterator[bytes], seconds: float, clock: Clock) -> Iterator[bytes]:
    """Gives a server up that trickles: each wait for bytes has a limit, so has how few of them may come."""
    since, received = clock.elapsed(), 0
    for chunk in chunks:
        received += len(chunk)
        passed = clock.elapsed() - since
        if passed >= seconds:
            if received < SLOWEST * passed:
                cause = f"{received} bytes in {passed:.0f} seconds"
                raise TransientFetchError("mirror-unavailable", f"cannot fetch {url}", cause=cause)
            since, received = clock.elapsed(), 0
        yield chunk


def _start(url: str, response: httpx.Response, offset: int, known: bool) -> int:
    status = response.status_code
    if status == 200:
        return 0
    if status == 206 and offset and response.headers.get("content-range", "").startswith(f"bytes {offset}-"):
        return offset
    cause = f"status {status} {response.reason_phrase}".rstrip()
    if status in _NOT_THERE:
        raise FetchError(
            "not-found",
            f"{url} does not exist",
            cause=cause,
            hint="the mirror may have moved on: resolve again, or name another mirror",
        )
    if status in _TRY_AGAIN or status >= 500 or status in (206, 416):
        raise TransientFetchError("mirror-unavailable", f"cannot fetch {url}", cause=cause)
    if status == 407:
        raise proxy_refused(url, cause)
    hint = None
    if status in (401, 403) and known and url.startswith("http:"):
        hint = "the password for this host is sent over https only"
    elif status in (401, 403):
        hint = "a user name and password belong into the file that the setting `network.credentials` names"
    raise FetchError("mirror-refused", f"cannot fetch {url}", cause=cause, hint=hint)


def _refuse_length(url: str, response: httpx.Response, start: int, limit: int) -> None:
    length = response.headers.get("content-length", "")
    if length.isascii() and length.isdigit() and start + int(length) > limit:
        raise _too_large(url, limit)


def _too_large(url: str, limit: int) -> FetchError:
    return FetchError("too-large", f"{url} is larger than it may be", cause=f"more than {limit} bytes")


def _bounded(url: str, start: int, limit: int, chunks: Iterator[bytes]) -> Reply:
    def counted() -> Iterator[bytes]:
        position = start
        for chunk in chunks:
            position += len(chunk)
            if position > limit:
                raise _too_large(url, limit)
            yield chunk

    return Reply(start, counted())


def _open_file(url: str) -> BinaryIO:
    path = Path(unquote(urlsplit(url).path))
    try:
        return path.open("rb")
    except OSError as error:
        raise FetchError("not-found", f"{url} cannot be read", cause=error.strerror) from error


def _read_from(file: BinaryIO, offset: int) -> Iterator[bytes]:
    file.seek(offset)
    while chunk := file.read(CHUNK):
        yield chunk


class OfflineTransport:
    """Opens no socket: files of this host, and nothing else."""

    @contextmanager
    def open(self, url: str, *, limit: int, offset: int = 0) -> Iterator[Reply]:
        if urlsplit(url).scheme != "file":
            raise FetchError(
                "offline",
                f"{url} is not here",
                cause="--offline opens no connection",
                hint="bring what the lock names while there is a network: os-image-composer fetch TEMPLATE",
            )
        with _open_file(url) as file:
            yield _bounded(url, offset, limit, _read_from(file, offset))


class MemoryTransport:
    """For tests: resources held in memory; whatever is not there is not found."""

    def __init__(self, resources: Mapping[str, bytes]) -> None:
        self.resources = dict(resources)

    @contextmanager
    def open(self, url: str, *, limit: int, offset: int = 0) -> Iterator[Reply]:
        try:
            data = self.resources[url]
        except KeyError:
            raise FetchError("not-found", f"{url} does not exist", cause="status 404") from None
        yield _bounded(url, offset, limit, iter([data[offset:]]))

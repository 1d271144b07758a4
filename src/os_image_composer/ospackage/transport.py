"""The one door to HTTP: a stream of bytes for a URL, from an offset on.

`http:`, `https:` and `file:` URLs. TLS is 1.2 or newer, a redirect never leads from https to http or to a file, and
no download gives more than the limit it was asked with. What went wrong is a FetchError; one that a second try may
mend is a TransientFetchError.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol
from urllib.parse import unquote, urljoin, urlsplit

import httpx

from os_image_composer import __version__
from os_image_composer.errors import FetchError

USER_AGENT = f"os-image-composer/{__version__}"
CHUNK = 1 << 18
REDIRECTS = 5
_NOT_THERE = (404, 410)
_TRY_AGAIN = (408, 425, 429)


class TransientFetchError(FetchError):
    """A failure of the network or the server that may be gone at the next try."""


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
    """HTTP/1.1 with kept connections; safe to use from several threads. `timeout` is in seconds, for a
    connection and for each read; `ca_bundle` replaces the host's certificate authorities; `proxy` is a URL."""

    def __init__(
        self,
        *,
        timeout: float = 30.0,
        connections: int = 16,
        ca_bundle: Path | None = None,
        proxy: str | None = None,
    ) -> None:
        context = ssl.create_default_context(cafile=str(ca_bundle) if ca_bundle else None)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._client = httpx.Client(
            verify=context,
            timeout=httpx.Timeout(timeout, connect=min(timeout, 10.0)),
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
            headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity"},
            follow_redirects=False,
            trust_env=False,  # the environment is read in config/settings only
            proxy=proxy,
        )

    def close(self) -> None:
        self._client.close()

    def __enter__(self) -> HttpTransport:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def open(self, url: str, *, limit: int, offset: int = 0) -> Iterator[Reply]:
        scheme = urlsplit(url).scheme
        if scheme == "file":
            with _open_file(url) as file:
                yield _bounded(url, offset, limit, _read_from(file, offset))
            return
        if scheme not in ("http", "https"):
            raise FetchError("unknown-scheme", f"cannot fetch {url}", cause=f"no {scheme or 'such'} transport")
        try:
            with self._response(url, offset) as response:
                start = _start(url, response, offset)
                _refuse_length(url, response, start, limit)
                yield _bounded(url, start, limit, response.iter_raw())  # as it comes: a cut connection loses nothing
        except httpx.HTTPError as error:
            cause = str(error) or type(error).__name__
            raise TransientFetchError("mirror-unavailable", f"cannot fetch {url}", cause=cause) from error

    @contextmanager
    def _response(self, url: str, offset: int) -> Iterator[httpx.Response]:
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        for _ in range(REDIRECTS + 1):
            with self._client.stream("GET", url, headers=headers) as response:
                if not response.is_redirect:
                    yield response
                    return
                url = _redirected(url, response.headers["location"])
        raise FetchError("too-many-redirects", f"cannot fetch {url}", cause=f"more than {REDIRECTS} redirects")


def _redirected(url: str, location: str) -> str:
    target = urljoin(url, location)
    old, new = urlsplit(url).scheme, urlsplit(target).scheme
    if new not in ("http", "https") or (old == "https" and new == "http"):
        raise FetchError("insecure-redirect", f"{url} redirects to {target}", cause=f"{old} must not lead to {new}")
    return target


def _start(url: str, response: httpx.Response, offset: int) -> int:
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
    raise FetchError("mirror-refused", f"cannot fetch {url}", cause=cause)


def _refuse_length(url: str, response: httpx.Response, start: int, limit: int) -> None:
    length = response.headers.get("content-length", "")
    if length.isdigit() and start + int(length) > limit:
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

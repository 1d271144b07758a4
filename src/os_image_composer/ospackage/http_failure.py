"""What a failed exchange means: something that a second try may mend, or something that the user must."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from typing import TYPE_CHECKING

from os_image_composer.errors import FetchError

if TYPE_CHECKING:
    import httpx

# What OpenSSL says of a connection that was cut, not refused.
_CUT = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)


class TransientFetchError(FetchError):
    """A failure of the network or the server that may be gone at the next try."""


def failure_of(error: httpx.HTTPError, url: str, proxy: str | None) -> FetchError:
    """The error that stands for what the HTTP library raised while it asked for `url`."""
    import httpx  # see transport

    cause = str(error) or type(error).__name__
    through = f"through the proxy {proxy}: " if proxy else ""
    if isinstance(error, httpx.ProxyError):
        return proxy_refused(url, f"{through}{cause}")
    for inner in _chain(error):
        if isinstance(inner, ssl.SSLCertVerificationError):
            return FetchError(
                "certificate-not-trusted",
                f"cannot fetch {url}: the certificate of the server is not trusted",
                cause=f"{through}{inner.verify_message}",
                hint="where your network has its own certificate authority, name its file in the settings: "
                "`network: {ca_bundle: FILE}`",
            )
        if isinstance(inner, ssl.SSLError) and not isinstance(inner, _CUT):
            return FetchError(
                "tls-failed",
                f"cannot fetch {url}: no secure connection",
                cause=f"{through}{inner.reason or cause}",
                hint="the server must offer TLS 1.2 or newer, and may demand `network: {client_certificate: …}`",
            )
    return TransientFetchError(
        "mirror-unavailable",
        f"cannot fetch {url}",
        cause=f"{through}{cause}",
        hint="see whether this host reaches it, name another mirror with --mirror or in the settings, or a proxy in "
        "`network`",
    )


def proxy_refused(url: str, cause: str) -> FetchError:
    return FetchError(
        "proxy-refused",
        f"the proxy does not let {url} be fetched",
        cause=cause,
        hint="its user name and password belong into the file that the setting `network.credentials` names, as a "
        "`machine` with the proxy's host; `network.no_proxy` leaves the proxy out",
    )


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    inner: BaseException | None = error
    while inner is not None and id(inner) not in seen:
        seen.add(id(inner))
        yield inner
        inner = inner.__cause__ or inner.__context__

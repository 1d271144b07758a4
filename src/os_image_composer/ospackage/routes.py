"""Which HTTP client asks for a URL: directly or through a proxy, and whether it says who it is.

Passwords and the client certificate go to hosts that settings or data name as mirrors and never to one that a redirect
or a lock alone names; passwords go to a mirror over https only. TLS is 1.2 or newer.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from os_image_composer import __version__
from os_image_composer.config.network import Network
from os_image_composer.errors import UsageError
from os_image_composer.ospackage.credentials import credentials_of

if TYPE_CHECKING:
    import httpx

USER_AGENT = f"os-image-composer/{__version__}"
_CONNECT = 10.0  # seconds at most until a connection is there


@dataclass(frozen=True)
class Route:
    """A client and, where the host is one that this user identifies to, user name and password."""

    client: httpx.Client
    auth: httpx.Auth | None
    proxy: str | None


class Routes:
    """Clients, made when they are first needed and kept; safe to use from several threads. Raises UsageError where
    a file of the settings cannot be used."""

    def __init__(self, network: Network, connections: int, identify_to: Collection[str] | None = None) -> None:
        self._identify_to = identify_to
        self._network, self._connections = network, connections
        self._credentials = credentials_of(network.credentials)
        self._anonymous = _context(network, identified=False)
        self._identified = _context(network, identified=True) if network.client_certificate else self._anonymous
        self._clients: dict[tuple[str | None, bool], httpx.Client] = {}
        self._one = threading.Lock()

    def to(self, url: str, *, redirected: bool = False) -> Route:
        """`redirected` says that another host named this one."""
        import httpx  # see transport

        proxy = self._network.proxy_for(url)
        user = self._credentials.of(url) if url.startswith("https:") and not redirected else None
        known = self._identify_to is None or urlsplit(url).netloc in self._identify_to
        identified = bool(self._network.client_certificate) and not redirected and known
        with self._one:
            client = self._clients.get((proxy, identified))
            if client is None:
                client = self._clients[(proxy, identified)] = self._client(proxy, identified)
        return Route(client, httpx.BasicAuth(*user) if user else None, proxy)

    def knows(self, url: str) -> bool:
        """Whether there is a password for the host of `url`."""
        return self._credentials.of(url) is not None

    def close(self) -> None:
        for client in self._clients.values():
            client.close()

    def _client(self, proxy: str | None, identified: bool) -> httpx.Client:
        import httpx

        seconds = self._network.timeout
        return httpx.Client(
            verify=self._identified if identified else self._anonymous,
            timeout=httpx.Timeout(seconds, connect=min(seconds, _CONNECT)),
            limits=httpx.Limits(max_connections=self._connections, max_keepalive_connections=self._connections),
            headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity"},
            follow_redirects=False,
            trust_env=False,  # the environment is read in config/settings only
            proxy=self._proxy(proxy) if proxy else None,
        )

    def _proxy(self, url: str) -> httpx.Proxy:
        import httpx

        context = self._anonymous if url.startswith("https:") else None
        return httpx.Proxy(url, auth=self._credentials.of(url), ssl_context=context)


def _context(network: Network, *, identified: bool) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=str(network.ca_bundle) if network.ca_bundle else None)
    except OSError as error:  # ssl.SSLError is one
        raise UsageError(
            "ca-bundle-unreadable",
            f"the CA bundle {network.ca_bundle} cannot be used",
            cause=_reason(error),
            hint="the setting `network.ca_bundle` must name a file of PEM certificates",
        ) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    own = network.client_certificate
    if identified and own:
        try:
            # Without a password of ours OpenSSL would ask for one on the terminal.
            context.load_cert_chain(own.certificate, own.key, password=lambda: "")
        except OSError as error:
            raise UsageError(
                "client-certificate-unreadable",
                f"the client certificate {own.certificate} with the key {own.key} cannot be used",
                cause=_reason(error),
                hint="both are PEM files, and the key has no passphrase",
            ) from error
    return context


def _reason(error: OSError) -> str:
    return getattr(error, "reason", None) or error.strerror or str(error)

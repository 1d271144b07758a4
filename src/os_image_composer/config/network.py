"""How the network is reached: proxies, certificate authorities, credentials, patience.

The shared environment variables `http_proxy`, `https_proxy`, `all_proxy` and `no_proxy` count where the settings say
nothing; the lower-case name comes first, and `HTTP_PROXY` in capitals is ignored as curl(1) does, since a CGI program
finds a request's header in it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from os_image_composer.errors import UsageError

__all__ = ["ClientCertificate", "Network", "network_of_environment", "no_proxy_problem", "proxy_problem"]

TIMEOUT = 30
_CREDENTIALS = "cannot hold a user name or password: settings are shown and logged"


@dataclass(frozen=True)
class ClientCertificate:
    """PEM files; `key` is not protected by a passphrase."""

    certificate: Path
    key: Path


@dataclass(frozen=True)
class Network:
    """`http_proxy` and `https_proxy` are URLs of proxies for URLs of that scheme, None for no proxy; `no_proxy` are
    hosts, domains, addresses and networks that are reached without one. `ca_bundle` replaces the host's certificate
    authorities; `credentials` is a netrc file, whose content is never part of any value; `timeout` is in seconds,
    for a connection and for each wait for bytes."""

    http_proxy: str | None = None
    https_proxy: str | None = None
    no_proxy: tuple[str, ...] = ()
    ca_bundle: Path | None = None
    credentials: Path | None = None
    client_certificate: ClientCertificate | None = None
    timeout: float = TIMEOUT

    def proxy_for(self, url: str) -> str | None:
        """The proxy through which `url` is asked for, None when it is asked directly."""
        parts = urlsplit(url)
        proxy = self.https_proxy if parts.scheme == "https" else self.http_proxy
        host = (parts.hostname or "").rstrip(".")
        port = parts.port or (443 if parts.scheme == "https" else 80)
        return None if any(_covers(entry, host, port) for entry in self.no_proxy) else proxy


def network_of_environment(environment: Mapping[str, str]) -> tuple[Network, dict[str, str]]:
    """What the environment says, and which variable said it, by key. Raises UsageError for a value that cannot be
    used; its text, which may hold a password, is not repeated."""
    found: dict[str, str] = {}
    sources: dict[str, str] = {}
    for key, names in (
        ("http_proxy", ("http_proxy", "all_proxy", "ALL_PROXY")),
        ("https_proxy", ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")),
        ("no_proxy", ("no_proxy", "NO_PROXY")),
    ):
        name = next((name for name in names if environment.get(name)), None)
        if name is None:
            continue
        value = environment[name]
        if key != "no_proxy":
            value = value if "://" in value else f"http://{value}"
            _refuse(name, proxy_problem(value))
        found[key], sources[key] = value, f"${name}"
    entries = (entry.strip() for entry in found.get("no_proxy", "").replace(" ", ",").split(","))
    usable = tuple(entry for entry in entries if entry and no_proxy_problem(entry) is None)
    return Network(found.get("http_proxy"), found.get("https_proxy"), usable), sources


def _refuse(variable: str, problem: str | None) -> None:
    if problem:
        raise UsageError(
            "wrong-value",
            f"the environment variable {variable} {problem}",
            hint="unset it and write `network: {https_proxy: URL}` in the settings file; a proxy's user name and "
            "password belong into the file that `network.credentials` names",
        )


def proxy_problem(url: str) -> str | None:
    """Why `url` cannot be a proxy, None when it can."""
    try:
        parts = urlsplit(url)
        port_is_number = parts.port is None or parts.port > 0
    except ValueError:
        return "is not a URL"
    if parts.username is not None or parts.password is not None:
        return _CREDENTIALS
    if parts.scheme not in ("http", "https"):
        return "must begin with http:// or https://"
    if not parts.hostname:
        return "names no host"
    if parts.path not in ("", "/") or parts.query or parts.fragment or not port_is_number or " " in url:
        return "must be scheme, host and port alone"
    return None


def no_proxy_problem(entry: str) -> str | None:
    """Why `entry` cannot stand in `no_proxy`, None when it can."""
    if any(c.isspace() or c in ",@" for c in entry) or not entry:
        return "is not a host name"
    if "://" in entry:
        return "must be a host, not a URL"
    if "/" in entry and _network(entry) is None:
        return "is not an address range such as 10.0.0.0/8"
    return None


def _covers(entry: str, host: str, port: int) -> bool:
    """A name covers itself and what is below it, with or without a dot (or `*.`) before it."""
    if entry == "*":
        return True
    addresses = _network(entry)
    if addresses is not None:
        try:
            return ipaddress.ip_address(host) in addresses
        except ValueError:
            return False
    name, colon, wanted = entry.rpartition(":")
    if colon and wanted.isdigit() and not name.endswith(":"):
        if int(wanted) != port:
            return False
        entry = name
    entry = entry.removeprefix("*").lstrip(".").rstrip(".").lower().strip("[]")
    return bool(entry) and (host == entry or host.endswith(f".{entry}"))


def _network(entry: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(entry.strip("[]"), strict=False)
    except ValueError:
        return None

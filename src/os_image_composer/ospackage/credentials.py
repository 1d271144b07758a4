"""User names and passwords for mirrors and proxies, from a file like netrc(5).

Only what is between `machine`, `login` and `password` is read. `default` is refused: it would send a password to any
host that asks. Nothing of the file is ever part of a message, and no value here shows its secrets.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from os_image_composer.errors import UsageError

MAX_BYTES = 1 << 20
_TOKEN = re.compile(r'"((?:[^"\\]|\\.)*)"|(\S+)')
_PORTS = {"http": 80, "https": 443}


class Credentials:
    """By `host` or `host:port`, lower case."""

    def __init__(self, entries: Mapping[str, tuple[str, str]] | None = None) -> None:
        self._entries = dict(entries or {})

    def __repr__(self) -> str:
        return f"Credentials({len(self._entries)} machines)"

    def of(self, url: str) -> tuple[str, str] | None:
        """User name and password for the host of `url`; the entry with its port comes first."""
        parts = urlsplit(url)
        host = (parts.hostname or "").lower()
        port = parts.port or _PORTS.get(parts.scheme, 0)
        return self._entries.get(f"{host}:{port}") or self._entries.get(host)


def read_credentials(path: Path) -> Credentials:
    """Raises UsageError `credentials-unreadable`, `credentials-readable-by-others`, `bad-credentials`."""
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise UsageError("credentials-unreadable", f"the credentials file {path} is not a regular file")
            if status.st_mode & 0o077 or status.st_uid not in (os.geteuid(), 0):
                raise UsageError(
                    "credentials-readable-by-others",
                    f"the credentials file {path} can be read by others",
                    cause=f"its mode is {stat.S_IMODE(status.st_mode):04o}, its owner {status.st_uid}",
                    hint=f"make it yours alone: chmod 600 {path}",
                )
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(
            "credentials-unreadable",
            f"the credentials file {path} cannot be read",
            cause=error.strerror,
            hint="the setting `network.credentials` names it",
        ) from error
    try:
        text = data.decode("utf-8") if len(data) <= MAX_BYTES else ""
    except UnicodeDecodeError:
        text = ""
    if data and not text:
        raise _bad(path, 1, "it is not UTF-8 text of at most 1 MiB")
    return Credentials(_entries(path, text))


def _entries(path: Path, text: str) -> dict[str, tuple[str, str]]:
    tokens = _tokens(text)
    entries: dict[str, dict[str, str]] = {}
    machine: dict[str, str] | None = None
    line = 1
    for line, word in tokens:
        if word == "default":
            raise _bad(path, line, "`default` would send a password to any host: name each machine")
        if word not in ("machine", "login", "password"):
            raise _bad(path, line, "only `machine`, `login` and `password` are known here")
        line, value = next(tokens, (line, ""))
        if not value:
            raise _bad(path, line, f"nothing follows `{word}`")
        if word == "machine":
            if "/" in value:
                raise _bad(path, line, "a machine is a host, or host:port")
            machine = entries.setdefault(value.lower(), {})
        elif machine is None or word in machine:
            raise _bad(path, line, f"`{word}` belongs to no machine, or stands there twice")
        else:
            machine[word] = value
    for name, entry in entries.items():
        if set(entry) != {"login", "password"}:
            raise _bad(path, line, f"machine {name} needs one `login` and one `password`")
    return {name: (entry["login"], entry["password"]) for name, entry in entries.items()}


def _tokens(text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("#"):
            continue
        for quoted, plain in _TOKEN.findall(line):
            yield number, plain or re.sub(r"\\(.)", r"\1", quoted)


def _bad(path: Path, line: int, cause: str) -> UsageError:
    return UsageError(
        "bad-credentials",
        f"the credentials file {path} cannot be understood",
        cause=f"line {line}: {cause}",
        hint="write `machine HOST login NAME password WORD`, one machine a line",
    )


def credentials_of(path: Path | None) -> Credentials:
    """What the setting `network.credentials` names; no credentials where it names nothing."""
    return read_credentials(path) if path else Credentials()

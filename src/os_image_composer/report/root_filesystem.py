"""What the root filesystem of an image says: the system, its accounts, its packages."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterator
from typing import TypeVar

from os_image_composer.errors import MetadataError
from os_image_composer.formats.filesystem import FileSystem, NodeKind, names, read_file
from os_image_composer.formats.os_release import parse_os_release
from os_image_composer.formats.window import FormatError
from os_image_composer.ospackage.family import families, family_for
from os_image_composer.ospackage.inventory import InstalledPackage
from os_image_composer.report.efi import digest
from os_image_composer.report.image_file import Account, Root, SbomFile
from os_image_composer.report.selinux import read_selinux

_SMALL = 1 << 20
_DATABASE = 256 << 20
_SBOM_FOLDERS = ("usr/share/sbom", "usr/lib/sbom")
_MAX_ACCOUNTS = 10_000

T = TypeVar("T")


def is_root(filesystem: FileSystem) -> bool:
    """Whether this looks like the root of a system: os-release(5) is there, or what every root has."""
    try:
        found = [filesystem.find(path) for path in ("/usr/lib/os-release", "/etc/os-release", "/etc/passwd")]
    except FormatError:
        return False
    return any(node is not None for node in found)


def read_root(filesystem: FileSystem, partition: int, findings: list[str]) -> Root:
    """What can be read; what cannot goes into `findings`, and the rest is still given."""

    def attempt(what: str, read: Callable[[], T], otherwise: T) -> T:
        try:
            return read()
        except (FormatError, MetadataError) as error:
            findings.append(f"partition {partition}: {what} cannot be read: {error}")
            return otherwise

    unknown: tuple[str | None, tuple[InstalledPackage, ...]] = (None, ())
    family, packages = attempt("the package database", lambda: _packages(filesystem), unknown)
    return Root(
        partition=partition,
        os_release=attempt("os-release", lambda: _os_release(filesystem), {}),
        hostname=attempt("the host name", lambda: _first_line(filesystem, "/etc/hostname"), None),
        kernels=attempt("the list of kernels", lambda: _kernels(filesystem), ()),
        accounts=attempt("the list of accounts", lambda: _accounts(filesystem), ()),
        family=family,
        packages=packages,
        sboms=attempt("a bill of materials", lambda: tuple(_sboms(filesystem)), ()),
        selinux=attempt("the configuration of SELinux", lambda: read_selinux(filesystem), None),
    )


def sbom_content(filesystem: FileSystem, path: str) -> bytes:
    """A bill of materials that `read_root` has found. Raises FormatError."""
    return read_file(filesystem, path, _DATABASE) or b""


def _packages(filesystem: FileSystem) -> tuple[str | None, tuple[InstalledPackage, ...]]:
    """The first family that has a database here."""
    for name in families():
        family = family_for(name)
        paths = [path for pattern in family.databases() for path in _glob(filesystem, pattern)]
        contents = {path: content for path in paths if (content := read_file(filesystem, path, _DATABASE)) is not None}
        if any(contents.values()):
            return name, family.installed(contents)
    return None, ()


def _glob(filesystem: FileSystem, pattern: str) -> Iterator[str]:
    """A pattern may stand in the last place of a path."""
    folder, _, last = pattern.rpartition("/")
    for name in names(filesystem, folder):
        if fnmatch.fnmatchcase(name, last):
            yield f"{folder}/{name}"


def _os_release(filesystem: FileSystem) -> dict[str, str]:
    for path in ("/etc/os-release", "/usr/lib/os-release"):
        content = read_file(filesystem, path, _SMALL)
        if content is not None:
            return parse_os_release(content)
    return {}


def _first_line(filesystem: FileSystem, path: str) -> str | None:
    content = read_file(filesystem, path, _SMALL)
    lines = [line.strip() for line in (content or b"").decode("utf-8", "replace").splitlines()]
    return next((line for line in lines if line and not line.startswith("#")), None)


def _kernels(filesystem: FileSystem) -> tuple[str, ...]:
    found = []
    for folder in ("usr/lib/modules", "lib/modules"):
        for name in names(filesystem, folder):
            node = filesystem.find(f"{folder}/{name}/modules.dep")
            if node is not None and name not in found:
                found.append(name)
    return tuple(found)


def _accounts(filesystem: FileSystem) -> tuple[Account, ...]:
    """passwd(5) and shadow(5)."""
    shadow = {row[0]: row[1] for row in _rows(filesystem, "/etc/shadow") if len(row) > 1}
    accounts = []
    for row in _rows(filesystem, "/etc/passwd"):
        if len(row) >= 7 and row[2].isdecimal() and len(row[2]) <= 10:
            field = shadow.get(row[0], row[1]) if row[1] in ("x", "*", "!") else row[1]
            accounts.append(Account(row[0], int(row[2]), row[6], _password(field)))
    return tuple(sorted(accounts, key=lambda a: (a.uid, a.name)))


def _rows(filesystem: FileSystem, path: str) -> list[list[str]]:
    content = read_file(filesystem, path, _SMALL) or b""
    return [line.split(":") for line in content.decode("utf-8", "replace").splitlines()[:_MAX_ACCOUNTS]]


def _password(field: str) -> str:
    """A hash begins with `$` (or is 13 characters of old crypt); anything else matches no password."""
    if field == "":
        return "empty"
    return "set" if field.startswith(("$", "_")) or (len(field) == 13 and field.isascii()) else "locked"


def _sboms(filesystem: FileSystem) -> Iterator[SbomFile]:
    for folder in _SBOM_FOLDERS:
        for name in names(filesystem, folder):
            path = f"/{folder}/{name}"
            node = filesystem.find(path)
            if node is not None and node.kind is NodeKind.FILE and node.size <= _DATABASE:
                yield SbomFile(path, node.size, digest(filesystem.content(node)))

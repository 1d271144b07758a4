"""What is installed: rpm's package database in its sqlite form.

Format: rpm's lib/backend/sqlite.c: the table Packages has each package's header as a blob, without the magic that
headers begin with in files. Written ahead it may be (rpm sets `journal_mode = WAL`), so the log counts as well.
"""

from __future__ import annotations

import io
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from os_image_composer.errors import MetadataError
from os_image_composer.ospackage.inventory import InstalledPackage
from os_image_composer.ospackage.rpm.header import MAGIC, BadHeaderError, Header, read_header
from os_image_composer.ospackage.rpm.package import (
    ARCH,
    EPOCH,
    LICENSE,
    NAME,
    RELEASE,
    SOURCE_RPM,
    VERSION,
    source_of,
)

# rpm's own place, and that of older releases, which often is a link to the other.
_FOLDERS = ("usr/lib/sysimage/rpm", "var/lib/rpm")
_FILE, _LOG = "rpmdb.sqlite", "rpmdb.sqlite-wal"
_OLD = ("Packages", "Packages.db")  # Berkeley DB and ndb: forms that rpm used before
DATABASES = tuple(f"{folder}/{name}" for folder in _FOLDERS for name in (_FILE, _LOG, *_OLD))

_VENDOR, _PACKAGER, _URL = 1011, 1015, 1020
_KEYS = "gpg-pubkey"  # entries of imported keys, which are no packages
_LARGEST_HEADER = 64 << 20  # bytes
_STEPS = 100_000  # of sqlite's virtual machine between two looks at how many there were
_MAX_STEPS = 2_000  # times that; a database of 20,000 packages takes some hundred thousand steps in all


def installed(databases: Mapping[str, bytes]) -> tuple[InstalledPackage, ...]:
    """Raises MetadataError `bad-database` for one that is damaged, or of a form that is not read."""
    found: dict[InstalledPackage, None] = {}
    for folder in _FOLDERS:
        content = databases.get(f"{folder}/{_FILE}")
        if content:
            found |= dict.fromkeys(_read(content, databases.get(f"{folder}/{_LOG}", b""), f"{folder}/{_FILE}"))
        elif any(databases.get(f"{folder}/{name}") for name in _OLD):
            raise MetadataError("bad-database", f"the package database in {folder} is of an old form, not sqlite's")
    return tuple(sorted(found))


def purl(package: InstalledPackage, vendor: str, release: str) -> str:
    """Source: package-url/purl-spec, type `rpm`: the namespace is the vendor, the epoch is a qualifier; these
    stand in the order of their keys."""
    epoch, _, version = package.version.rpartition(":")
    qualifiers = [("arch", package.arch), ("distro", f"{vendor}-{release}" if release else ""), ("epoch", epoch)]
    said = "&".join(f"{key}={quote(value, safe='')}" for key, value in qualifiers if value)
    name, version = quote(package.name, safe=""), quote(version, safe="")
    return f"pkg:rpm/{quote(vendor.lower(), safe='')}/{name}@{version}?{said}"


def _read(content: bytes, log: bytes, what: str) -> Iterator[InstalledPackage]:
    # A file, not memory: only so does sqlite look at the log. Its folder is this process's own and goes at the end.
    with tempfile.TemporaryDirectory(prefix="rpmdb-") as folder:
        path = Path(folder, _FILE)
        path.write_bytes(content)
        path.with_name(_LOG).write_bytes(log)
        try:
            with closing(sqlite3.connect(path)) as database:
                for blob in _headers(database, what):
                    package = _package(read_header(io.BytesIO(MAGIC + blob), _LARGEST_HEADER))
                    if package.name != _KEYS:
                        yield package
        except (sqlite3.Error, BadHeaderError, OverflowError, UnicodeDecodeError) as error:
            raise MetadataError("bad-database", f"{what} is damaged", cause=str(error)) from error


def _headers(database: sqlite3.Connection, what: str) -> Iterator[bytes]:
    """The blobs of the table Packages. The database may be anybody's: nothing that its schema says is called (no view,
    no function, no virtual table), and no question runs for ever."""
    steps = 0

    def enough() -> bool:
        nonlocal steps
        steps += 1
        return steps > _MAX_STEPS

    database.set_progress_handler(enough, _STEPS)
    database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LARGEST_HEADER)
    database.execute("PRAGMA trusted_schema = OFF")
    database.execute("PRAGMA cell_size_check = ON")
    kinds = database.execute("SELECT type, rootpage FROM sqlite_master WHERE name = 'Packages'").fetchall()
    if [(kind, bool(page)) for kind, page in kinds] != [("table", True)]:  # a virtual table has no root page
        raise MetadataError("bad-database", f"{what} has no table of packages")
    columns = {name: hidden for _, name, *_, hidden in database.execute("PRAGMA table_xinfo(Packages)")}
    if columns.get("blob") != 0:  # or it is computed
        raise MetadataError("bad-database", f"{what} has no headers in its table of packages")
    for (blob,) in database.execute("SELECT blob FROM Packages"):
        if not isinstance(blob, bytes):
            raise MetadataError("bad-database", f"{what} has a package without a header")
        yield blob


def _package(header: Header) -> InstalledPackage:
    epoch = header.number(EPOCH)
    version = f"{epoch}:" * bool(epoch) + f"{header.string(VERSION)}-{header.string(RELEASE)}"
    name = header.string(NAME)
    if not name or not header.string(VERSION):
        raise BadHeaderError("a package without a name or version")
    source, _, source_version = source_of(header.string(SOURCE_RPM)).partition(" ")
    return InstalledPackage(
        name=name,
        version=version,
        arch=header.string(ARCH),
        source=source or name,
        source_version=source_version or version,
        maintainer=header.string(_PACKAGER) or header.string(_VENDOR),
        homepage=header.string(_URL),
        licence=header.string(LICENSE),
    )

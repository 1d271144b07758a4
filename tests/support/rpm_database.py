"""The package database as rpm writes it in its sqlite form (lib/backend/sqlite.c), of packages of the tests' own."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path

from os_image_composer.ospackage.rpm.header import MAGIC
from support.rpm_package import MadeRpm

SCHEMA = (
    "CREATE TABLE IF NOT EXISTS 'Packages' (hnum INTEGER PRIMARY KEY AUTOINCREMENT,blob BLOB NOT NULL)",
    "CREATE TABLE IF NOT EXISTS 'Name' (key 'TEXT' NOT NULL, hnum INTEGER NOT NULL, idx INTEGER NOT NULL, "
    "FOREIGN KEY (hnum) REFERENCES 'Packages'(hnum))",
)


def blob(package: MadeRpm) -> bytes:
    """What the database has of a package."""
    return package.header(package.payload()).removeprefix(MAGIC)


def write_database(path: Path, blobs: Iterable[bytes], schema: Sequence[str] = SCHEMA, mode: str = "WAL") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as database:
        database.execute(f"PRAGMA journal_mode = {mode}")
        for statement in schema:
            database.execute(statement)
        for number, content in enumerate(blobs, 1):
            database.execute("INSERT INTO Packages VALUES (?, ?)", (number, content))
        database.commit()
    return path

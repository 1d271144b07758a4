"""What is kept of an index's contents: used where it is whole, made again where it is not, never believed."""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import fields
from pathlib import Path

import pytest

from os_image_composer.errors import MetadataError
from os_image_composer.ospackage import kept_files
from os_image_composer.ospackage.deb.index_table import index_table, kept_table
from os_image_composer.ospackage.deb.packages import SuiteIndex
from os_image_composer.ospackage.kept_files import keep, use
from os_image_composer.ospackage.kept_index import IndexSource
from os_image_composer.ospackage.kept_parse import kept_parse
from support.deb_repository import DebRepository, deb

from .conftest import Resolve

OF = "ab" * 32


def never() -> bytes:
    raise AssertionError("it was made again")


def test_what_was_kept_is_not_made_again(tmp_path: Path) -> None:
    assert kept_parse(tmp_path, OF, "table-1", lambda: b"content") == b"content"
    assert kept_parse(tmp_path, OF, "table-1", never) == b"content"


@pytest.mark.parametrize("place", [0, 31, 32, -1])
def test_a_flipped_byte_anywhere_is_found_and_mended(tmp_path: Path, place: int) -> None:
    kept_parse(tmp_path, OF, "table-1", lambda: b"content")
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    damaged = bytearray(whole)
    damaged[place] ^= 1
    file.write_bytes(damaged)
    assert kept_parse(tmp_path, OF, "table-1", lambda: b"content") == b"content"
    assert file.read_bytes() == whole


@pytest.mark.parametrize("length", [0, 5, 32, 38])
def test_a_truncated_file_is_found(tmp_path: Path, length: int) -> None:
    kept_parse(tmp_path, OF, "table-1", lambda: b"content")
    (file,) = tmp_path.iterdir()
    os.truncate(file, length)
    assert kept_parse(tmp_path, OF, "table-1", lambda: b"again") == b"again"


def test_the_parse_of_another_index_or_of_another_version_is_not_taken(tmp_path: Path) -> None:
    kept_parse(tmp_path, OF, "table-1", lambda: b"content")
    other = "cd" * 32
    for name in (f"{other}.table-1", f"{OF}.table-2"):
        shutil.copyfile(tmp_path / f"{OF}.table-1", tmp_path / name)
    assert kept_parse(tmp_path, other, "table-1", lambda: b"its own") == b"its own"
    assert kept_parse(tmp_path, OF, "table-2", lambda: b"newer") == b"newer"


def test_a_cache_that_cannot_be_written_costs_time_only(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert kept_parse(tmp_path / "file", OF, "table-1", lambda: b"content") == b"content"


def test_what_was_not_used_for_longest_makes_room(tmp_path: Path) -> None:
    for age, name in enumerate(("new", "old", "used")):
        keep(tmp_path / name, b"x" * 100)
        os.utime(tmp_path / name, (1_000_000 - age, 1_000_000 - age))
    assert use(tmp_path / "used") == b"x" * 100
    keep(tmp_path / "more", b"x" * 100, limit=300)
    assert {path.name for path in tmp_path.iterdir()} == {"more", "new", "used"}
    keep(tmp_path / "huge", b"x" * 1000, limit=300)
    assert {path.name for path in tmp_path.iterdir()} == {"huge"}
    assert kept_files.LIMIT > 1 << 30


def test_resolving_from_a_kept_table_gives_the_same(
    repository: DebRepository, resolve: Resolve, metadata: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hello, polite = deb("hello", depends="greeting, tool"), deb("polite", provides="greeting (= 2), greeting")
    repository.add(hello, polite, deb("tool", essential="yes"), deb("hello", "2.0")).write()
    first = resolve("hello", essential=True)
    assert {path.suffix for path in (metadata / "indexes").iterdir()} == {".zst", ".table-1"}
    monkeypatch.setattr("os_image_composer.ospackage.deb.index_table.index_table", lambda *_: never())
    assert resolve("hello", essential=True) == first


def test_a_table_that_lies_about_its_index_is_refused() -> None:
    text = b"Package: one\nVersion: 1\n\nPackage: two\nVersion: 1\n"
    other = b"Package: two\nVersion: 1\n\nPackage: one\nVersion: 1\n\nPackage: three\n"
    for name in ("one", "two", "three"):
        with pytest.raises(MetadataError, match="does not fit"):
            list(SuiteIndex(text, "test/stable", 500, "test", index_table(other, "test")).versions(name))


@pytest.mark.parametrize("text", [b"", b"\n\n\n", b"Package: a\nProvides: \n", b"Package: a\nProvides: ,b\n c,\n\n"])
def test_odd_indexes_read_alike_with_and_without_the_kept_table(text: bytes, tmp_path: Path) -> None:
    digest = hashlib.sha256(text).hexdigest()
    source = IndexSource("test", (), "", digest, len(text), digest, len(text), "Release")
    made, kept = index_table(text, "test"), [kept_table(text, source, tmp_path) for _ in range(2)]
    for table in kept:
        assert [list(getattr(table, f.name)) for f in fields(table)] == [
            list(getattr(made, f.name)) for f in fields(made)
        ]

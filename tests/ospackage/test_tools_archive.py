"""The archive of image tools: written in one way only, and refused where anything in it is not what its index says."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from os_image_composer.errors import ComposerError, UsageError
from os_image_composer.ospackage.cache import PackageCache
from os_image_composer.ospackage.lock import LockedPackage, LockedRepository
from os_image_composer.ospackage.tools_archive import (
    TOOLS,
    ToolsArchive,
    open_tools_archive,
    unmarked,
    write_tools_archive,
)
from os_image_composer.ospackage.tools_index import MAX_INDEX, MAX_PACKAGE, ToolsIndex, dump_index
from support.deb_repository import deb

PACKAGES = {name: deb(name, files={f"./usr/bin/{name}": name.encode() * 100}).data for name in ("mke2fs", "mtools")}
USED = LockedRepository(
    "debian/stable", "https://one.example", "stable", 1700000000, 1800000000, "cd" * 32, ("ff" * 20, "aa" * 20)
)
UNUSED = replace(USED, name="debian/updates", suite="updates", date=1700009999)


def locked(name: str) -> LockedPackage:
    data, path = PACKAGES[name], f"pool/{name}_1.0_amd64.deb"
    digest = hashlib.sha256(data).hexdigest()
    return LockedPackage(name, "1.0", "amd64", USED.name, path, len(data), digest, 4096, False, f"{name} 1.0", ())


INDEX = ToolsIndex.of("debian", "debian13", "x86_64", (UNUSED, USED), (locked("mtools"), locked("mke2fs")))


@pytest.fixture
def files(tmp_path: Path) -> Mapping[str, Path]:
    found = {}
    for data in PACKAGES.values():
        digest = hashlib.sha256(data).hexdigest()
        found[digest] = tmp_path / digest
        found[digest].write_bytes(data)
    return found


@pytest.fixture
def archive(tmp_path: Path, files: Mapping[str, Path]) -> ToolsArchive:
    return write_tools_archive(tmp_path / "tools.tar", INDEX, files)


def test_archive_is_read_back_as_it_was_written(archive: ToolsArchive, tmp_path: Path) -> None:
    digest = hashlib.sha256(archive.path.read_bytes()).hexdigest()
    assert archive.sha256 == digest
    opened = open_tools_archive(archive.path, digest)
    assert opened.index == INDEX
    cache = PackageCache(tmp_path / "cache")
    opened.bring(INDEX.packages, cache)
    for package in INDEX.packages:
        assert cache.verified(package.sha256, package.size).read_bytes() == PACKAGES[package.name]


def test_archive_is_a_tar_that_other_programs_read(archive: ToolsArchive, tmp_path: Path) -> None:
    subprocess.run(["tar", "xf", archive.path, "-C", tmp_path], check=True)
    for name, data in PACKAGES.items():
        assert (tmp_path / "packages" / f"{name}_1.0_amd64.deb").read_bytes() == data
    index = json.loads((tmp_path / "index.json").read_bytes())
    assert index["toolsArchiveVersion"] == 1
    assert [p["name"] for p in index["packages"]] == ["mke2fs", "mtools"]


def test_index_keeps_who_signed_and_when_of_the_repositories_that_a_package_is_from(archive: ToolsArchive) -> None:
    assert [(r.name, r.date, r.signers) for r in archive.index.repositories] == [
        ("debian/stable", 1700000000, ("aa" * 20, "ff" * 20))
    ]


def test_bytes_depend_on_no_mirror_no_order_no_other_repository_and_no_file_times(
    archive: ToolsArchive, tmp_path: Path, files: Mapping[str, Path]
) -> None:
    elsewhere = replace(USED, url="https://two.example", valid_until=None, signers=USED.signers[::-1])
    index = ToolsIndex.of("debian", "debian13", "x86_64", (elsewhere,), (locked("mke2fs"), locked("mtools")))
    for path in files.values():
        path.chmod(0o600)
        os.utime(path, (1, 1))
    (tmp_path / "other").mkdir()
    again = write_tools_archive(tmp_path / "other" / "name", index, files)
    assert again.path.read_bytes() == archive.path.read_bytes()


def test_what_a_lock_says_of_an_archive_leads_to_the_same_archive(
    archive: ToolsArchive, tmp_path: Path, files: Mapping[str, Path]
) -> None:
    repositories = archive.repositories("deb")
    packages = archive.locked(TOOLS, {p.name: p.name for p in archive.index.packages})
    assert (
        {r.name for r in repositories} == {p.repository for p in packages.packages()} == {"image-tools/debian/stable"}
    )
    own = replace(UNUSED, name="debian/stable")  # the target's, as it is at another time
    plain = unmarked((own, *repositories), tuple(packages.packages()))
    again = write_tools_archive(tmp_path / "again", ToolsIndex.of("debian", "debian13", "x86_64", *plain), files)
    assert again.sha256 == archive.sha256


def test_no_file_is_overwritten_and_nothing_is_left_of_a_failed_attempt(
    archive: ToolsArchive, tmp_path: Path, files: Mapping[str, Path]
) -> None:
    before = archive.path.read_bytes()
    with pytest.raises(UsageError) as caught:
        write_tools_archive(archive.path, INDEX, files)
    assert (caught.value.reference, archive.path.read_bytes()) == ("file-exists", before)
    next(iter(files.values())).write_bytes(b"something else")
    folder = tmp_path / "new"
    folder.mkdir()
    with pytest.raises(ComposerError):
        write_tools_archive(folder / "tools.tar", INDEX, files)
    assert list(folder.iterdir()) == []


# -- archives that nobody can have written -----------------------------------------------------------------------


@dataclass
class Forged:
    """An archive from its parts: the text of the index, and entries by name."""

    index: bytes
    entries: dict[str, bytes]
    kind: bytes = tarfile.REGTYPE
    after: bytes = b""

    def data(self) -> bytes:
        buffer = io.BytesIO()
        for name, content in {"index.json": self.index, **self.entries}.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            entry.type = self.kind if name != "index.json" else tarfile.REGTYPE
            buffer.write(entry.tobuf(tarfile.USTAR_FORMAT) + content + bytes(-len(content) % 512))
        return buffer.getvalue() + bytes(1024) + self.after


def forged() -> Forged:
    """One that is right."""
    return Forged(dump_index(INDEX), {f"packages/{name}_1.0_amd64.deb": data for name, data in PACKAGES.items()})


def said(**values: object) -> bytes:
    """The index with other values in its first package, mke2fs."""
    data: dict[str, Any] = json.loads(dump_index(INDEX))
    data["packages"][0].update(values)
    return text(data)


def text(data: dict[str, Any]) -> bytes:
    return (json.dumps(data, indent=1, sort_keys=True) + "\n").encode()


def refused(tmp_path: Path, data: bytes, sha256: str | None = None) -> ComposerError:
    """How an archive of these bytes is refused; its digest is the one that was pinned."""
    path = tmp_path / "forged.tar"
    path.write_bytes(data)
    with pytest.raises(ComposerError) as caught:
        open_tools_archive(path, sha256 or hashlib.sha256(data).hexdigest())
    assert caught.value.hint
    return caught.value


def test_archive_that_is_right_is_what_is_written(archive: ToolsArchive) -> None:
    assert forged().data() == archive.path.read_bytes()


def test_archive_with_another_digest_is_refused_before_anything_in_it_is_looked_at(tmp_path: Path) -> None:
    data = forged().data()
    error = refused(tmp_path, b"no archive at all", hashlib.sha256(data).hexdigest())
    assert error.reference == "wrong-tools-archive"
    for at in (0, 300, 600, len(data) - 1):
        changed = bytearray(data)
        changed[at] ^= 1
        assert refused(tmp_path, bytes(changed), hashlib.sha256(data).hexdigest()).reference == "wrong-tools-archive"


def test_archive_whose_pinned_digest_is_that_of_a_part_is_refused_as_not_whole(tmp_path: Path) -> None:
    data = forged().data()
    for length in (0, 511, 700, len(data) - 2000, len(data) - 1024, len(data) - 1):
        assert refused(tmp_path, data[:length]).reference == "tools-archive-truncated"


@pytest.mark.parametrize(
    ("values", "reference"),
    [
        ({"sha256": "00" * 32}, "tools-archive-package"),
        ({"path": "../../etc/cron.d/x"}, "tools-archive-path"),
        ({"path": "/etc/passwd"}, "tools-archive-path"),
        ({"path": "pool/.."}, "tools-archive-path"),
        ({"path": "pool/"}, "tools-archive-path"),
        ({"path": "pool/" + "x" * 200}, "tools-archive-path"),
        ({"size": MAX_PACKAGE + 1}, "tools-archive-too-large"),
        ({"size": 1 << 59}, "tools-archive-too-large"),
        ({"size": MAX_PACKAGE}, "tools-archive-truncated"),
        ({"size": 1}, "bad-tools-archive"),
        ({"size": -1}, "bad-tools-archive"),
        ({"size": "1"}, "bad-tools-archive"),
        ({"name": "../x"}, "bad-tools-archive"),
        ({"name": "-x"}, "bad-tools-archive"),
        ({"version": "1 2"}, "bad-tools-archive"),
        ({"arch": "a/b"}, "bad-tools-archive"),
        ({"repository": "../x"}, "bad-tools-archive"),
        ({"repository": "debian/other"}, "bad-tools-archive"),
        ({"sha256": "x"}, "bad-tools-archive"),
        ({"more": 1}, "bad-tools-archive"),
        ({"name": "mtools"}, "bad-tools-archive"),
    ],
)
def test_index_that_lies_about_a_package_is_refused(tmp_path: Path, values: dict[str, object], reference: str) -> None:
    one = forged()
    one.index = said(**values)
    assert refused(tmp_path, one.data()).reference == reference


def test_package_of_another_size_than_the_index_says_is_refused_where_the_whole_has_the_right_size(
    tmp_path: Path,
) -> None:
    one = forged()
    size = len(PACKAGES["mke2fs"])
    shorter = size - 1 if size % 512 != 1 else size + 1
    one.index = said(size=shorter)
    assert len(one.data()) == len(forged().data())
    assert refused(tmp_path, one.data()).reference == "tools-archive-path"


@pytest.mark.parametrize("name", ["../mke2fs_1.0_amd64.deb", "/etc/passwd", "packages/../../x", "packages/other.deb"])
def test_entry_that_leads_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    one = forged()
    one.entries = {name if "mke2fs" in n else n: data for n, data in one.entries.items()}
    assert refused(tmp_path, one.data()).reference == "tools-archive-path"


def test_entry_that_is_a_link_is_refused(tmp_path: Path) -> None:
    one = forged()
    one.kind = tarfile.SYMTYPE
    assert refused(tmp_path, one.data()).reference == "tools-archive-path"


def test_index_larger_than_any_is_refused_without_reading_it(tmp_path: Path) -> None:
    entry = tarfile.TarInfo("index.json")
    entry.size = MAX_INDEX + 1
    head = entry.tobuf(tarfile.USTAR_FORMAT)
    assert refused(tmp_path, head).reference == "tools-archive-too-large"


def test_bytes_that_no_entry_needs_are_refused(tmp_path: Path) -> None:
    one = forged()
    one.after = bytes(512)
    assert refused(tmp_path, one.data()).reference == "bad-tools-archive"
    right = forged().data()
    assert refused(tmp_path, right[:-1] + b"x").reference == "bad-tools-archive"
    padding = 512 + len(dump_index(INDEX)) + -len(dump_index(INDEX)) % 512 + 512 + len(PACKAGES["mke2fs"])
    assert right[padding] == 0
    assert refused(tmp_path, right[:padding] + b"x" + right[padding + 1 :]).reference == "bad-tools-archive"


def test_index_that_is_written_in_another_way_is_refused(tmp_path: Path) -> None:
    data = json.loads(dump_index(INDEX))
    one = forged()
    twice = dump_index(INDEX).replace(b'{\n "arch"', b'{\n "arch": "arm64",\n "arch"', 1)
    order = text({**data, "packages": data["packages"][::-1]})
    for index in (json.dumps(data).encode(), twice, order, b"[]", b"{", b"\xff", b"[" * 100_000, b""):
        one.index = index
        assert refused(tmp_path, one.data()).reference in ("bad-tools-archive", "tools-archive-version"), index[:40]


def test_archive_of_another_version_says_so(tmp_path: Path) -> None:
    one = forged()
    one.index = text({"toolsArchiveVersion": 2, "anything": "else"})
    error = refused(tmp_path, one.data())
    assert (error.reference, error.cause) == ("tools-archive-version", "toolsArchiveVersion 2 instead of 1")


def test_archive_that_cannot_be_read_says_so_and_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in ("absent", "pipe", "."):
        with pytest.raises(UsageError) as caught:
            open_tools_archive(tmp_path / name, "ab" * 32)
        assert caught.value.reference == "no-tools-archive"
        assert caught.value.cause


def test_package_changed_in_the_file_after_it_was_checked_does_not_reach_the_cache(
    archive: ToolsArchive, tmp_path: Path
) -> None:
    data = bytearray(archive.path.read_bytes())
    data[-2000] ^= 1
    archive.path.write_bytes(bytes(data))
    cache = PackageCache(tmp_path / "cache")
    with pytest.raises(ComposerError) as caught:
        archive.bring(INDEX.packages, cache)
    assert caught.value.reference == "tools-archive-package"
    assert not cache.has(INDEX.packages[-1].sha256)


def test_package_damaged_in_the_cache_is_taken_from_the_archive_again(archive: ToolsArchive, tmp_path: Path) -> None:
    cache = PackageCache(tmp_path / "cache")
    archive.bring(INDEX.packages, cache)
    path = cache.path(INDEX.packages[0].sha256)
    path.chmod(0o600)
    path.write_bytes(b"damaged")
    archive.bring(INDEX.packages, cache)
    assert path.read_bytes() == PACKAGES["mke2fs"]

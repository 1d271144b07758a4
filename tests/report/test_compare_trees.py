"""`compare` of folders and of locks, and what damage or malice in images does to it."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from os_image_composer.errors import ImageError, MetadataError
from os_image_composer.formats.capability import capability_text
from os_image_composer.ospackage.lock import (
    Lock,
    LockedPackage,
    LockedRepository,
    PackageSet,
    Transaction,
)
from os_image_composer.ospackage.lock_file import read_lock
from os_image_composer.ospackage.lock_text import dump_lock
from os_image_composer.report import differences
from os_image_composer.report.compare import compare
from os_image_composer.report.lock_diff import diff_locks
from support.small_images import MIB, empty_file, ext_image

from .conftest import root_files

Found = set[tuple[str, str, str]]


def found(a: Path, b: Path) -> Found:
    return {(d.area.value, d.where, d.kind) for d in compare(a, b).differences}


def tree(folder: Path) -> Path:
    root = root_files(folder)
    (root / "one").write_bytes(b"content")
    (root / "second").hardlink_to(root / "one")
    (root / "link").symlink_to("/outside/of/it")
    (root / "sub").mkdir()
    (root / "sub" / "file").write_bytes(b"x" * 10)
    for path in (*root.rglob("*"), root):
        os.utime(path, (1_700_000_000, 1_700_000_000), follow_symlinks=False)
    return root


def keeping_times(change: Callable[[Path], object]) -> Callable[[Path], None]:
    def run(root: Path) -> None:
        change(root)
        for path in (*root.rglob("*"), root):
            os.utime(path, (1_700_000_000, 1_700_000_000), follow_symlinks=False)

    return run


def relink(root: Path) -> None:
    (root / "link").unlink()
    (root / "link").symlink_to("./outside/of/it")


def part(root: Path) -> None:
    (root / "second").unlink()
    (root / "second").write_bytes(b"content")


CHANGES: dict[str, tuple[Callable[[Path], object], Found]] = {
    "content": (
        keeping_times(lambda r: (r / "sub/file").write_bytes(b"x" * 9 + b"y")),
        {("file", "/sub/file", "content")},
    ),
    "mode": (lambda r: (r / "sub").chmod(0o700), {("file", "/sub", "mode")}),
    "time": (lambda r: os.utime(r / "one", (5, 5)), {("file", "/one", "mtime"), ("file", "/second", "mtime")}),
    "target": (keeping_times(relink), {("file", "/link", "target")}),
    "hard link": (keeping_times(part), {("file", "/second", "hard-link")}),
    "missing": (keeping_times(lambda r: (r / "sub/file").unlink()), {("file", "/sub/file", "missing")}),
    "package": (
        keeping_times(
            lambda r: (r / "var/lib/dpkg/status").write_text(
                (r / "var/lib/dpkg/status").read_text().replace("1.2-3", "1.2-4")
            )
        ),
        {("package", "base:amd64", "version"), ("file", "/var/lib/dpkg/status", "content")},
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_in_a_folder_is_found_and_nothing_else(name: str, tmp_path: Path) -> None:
    a, b = tree(tmp_path / "a"), tree(tmp_path / "b")
    assert compare(a, b).equal
    change, expected = CHANGES[name]
    change(b)
    assert found(a, b) == expected


def test_a_symlink_out_of_a_folder_is_not_followed(tmp_path: Path) -> None:
    a, b = tree(tmp_path / "a"), tree(tmp_path / "b")
    outside = tmp_path / "outside"
    (outside / "lib" / "dpkg").mkdir(parents=True)
    (outside / "lib" / "dpkg" / "status").write_text("Package: foreign\nVersion: 1\nStatus: install ok installed\n\n")
    for root in (a, b):
        for path in sorted((root / "var").rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        (root / "var").rmdir()
        (root / "var").symlink_to(outside if root == a else "../outside")
    assert not [difference for difference in found(a, b) if difference[0] == "package"]


def test_names_that_are_no_utf8_are_compared(tmp_path: Path) -> None:
    a, b = tree(tmp_path / "a"), tree(tmp_path / "b")
    Path(os.fsdecode(os.fsencode(b) + b"/caf\xe9")).write_bytes(b"")
    os.utime(b, (1_700_000_000, 1_700_000_000))
    assert found(a, b) == {("file", "/caf\udce9", "missing")}


def package(name: str, version: str = "1.0") -> LockedPackage:
    return LockedPackage(
        *(name, version, "amd64", "debian/trixie", f"pool/{name}_{version}.deb", 10, "ab" * 32, 100, False, name, ())
    )


def lock(*packages: LockedPackage, epoch: int = 1) -> Lock:
    repository = LockedRepository("debian/trixie", "http://mirror.invalid", "trixie", 1, None, "cd" * 32, ("ef" * 20,))
    sets = {"image": PackageSet((Transaction("default", packages),), roots=tuple(sorted(p.name for p in packages)))}
    seed = "11111111-2222-5333-8444-555555555555"
    return Lock("debian", "debian13", "amd64", seed, epoch, (repository,), sets)


def test_locks_differ_by_package_and_field(tmp_path: Path) -> None:
    a, b = tmp_path / "a.lock", tmp_path / "b.lock"
    a.write_text(dump_lock(lock(package("one"), package("two"))))
    b.write_text(dump_lock(lock(package("one", "1.1"), package("three"), epoch=2)))
    assert compare(a, a).equal
    assert found(a, b) == {
        ("lock", "lock", "source-date-epoch"),
        ("lock", "image", "roots"),
        ("lock", "image: one:amd64", "version"),
        ("lock", "image: one:amd64", "path"),
        ("lock", "image: two:amd64", "missing"),
        ("lock", "image: three:amd64", "missing"),
    }
    b.write_text(dump_lock(lock(replace(package("one"), sha256="ff" * 32), package("two"))))
    assert found(a, b) == {("lock", "image: one:amd64", "sha256")}
    b.write_text('{"lockVersion": 1}')
    with pytest.raises(MetadataError):
        compare(a, b)


def test_locks_whose_transactions_are_in_another_order_differ(tmp_path: Path) -> None:
    a, b = tmp_path / "a.lock", tmp_path / "b.lock"
    one = lock(package("one"), package("two"))
    packages = one.sets["image"]
    first, second = (Transaction(p.name, (p,)) for p in packages.packages())
    for file, transactions in ((a, (first, second)), (b, (second, first))):
        file.write_text(dump_lock(replace(one, sets={"image": replace(packages, transactions=transactions)})))
    assert found(a, b) == {("lock", "lock", "order")}
    diff = diff_locks(read_lock(a).lock, read_lock(b).lock)
    assert (diff.equal, [other.field for other in diff.others]) == (False, ["order"])


def test_lock_that_was_edited_and_one_that_is_not_there_are_told_as_that(tmp_path: Path) -> None:
    a, b = tmp_path / "a.lock", tmp_path / "b.lock"
    a.write_text(dump_lock(lock(package("one"))))
    b.write_text(a.read_text().replace("one_1.0.deb", "one_1.1.deb"))
    with pytest.raises(MetadataError) as edited:
        compare(a, b)
    assert edited.value.origin is not None and edited.value.origin.file == str(b) and edited.value.origin.line > 1
    with pytest.raises(ImageError) as missing:
        compare(a, tmp_path / "nowhere")
    assert missing.value.reference == "unreadable-image"


@pytest.mark.parametrize("seed", range(12))
def test_damaged_images_end_in_differences_or_in_an_error(seed: int, image: Path, tmp_path: Path) -> None:
    """A hundred bytes anywhere in the places that structures lie in, of either side."""
    chance = random.Random(seed)
    data = bytearray(image.read_bytes())
    for _ in range(100):
        start, size = chance.choice([(0, 34 * 512), (MIB, 64 << 10), (25 * MIB, 256 << 10)])
        data[start + chance.randrange(size)] = chance.randrange(256)
    damaged = tmp_path / "damaged.raw"
    damaged.write_bytes(data)
    for pair in ((image, damaged), (damaged, image)):
        try:
            assert not compare(*pair).equal
        except ImageError:
            continue


def test_a_cut_image_is_told_as_such(image: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.raw"
    cut.write_bytes(image.read_bytes()[: 30 * MIB])
    kinds = found(image, cut)
    assert ("disk", "disk", "size") in kinds and ("filesystem", "partition 2 (root)", "unreadable") in kinds


def test_files_of_made_up_size_cost_no_time(tmp_path: Path) -> None:
    """Sixteen tebibytes of nothing on either side, in images and in folders."""
    a, b = tmp_path / "a", tmp_path / "b"
    for root in (a, b):
        root.mkdir()
        empty_file(root / "huge", 1 << 42)
        with (root / "huge").open("r+b") as stream:
            stream.seek(1 << 41)
            stream.write(b"a" if root == a else b"b")
        os.utime(root / "huge", (1, 1))
        os.utime(root, (1, 1))
    (difference,) = compare(a, b).differences
    assert (difference.kind, difference.a) == ("content", f"from byte {1 << 41} of {1 << 42} on")
    images = [ext_image(tmp_path / f"{root.name}.raw", root, "ext4", "-b", "1024", size=8 * MIB) for root in (a, b)]
    assert ("file", "disk:/huge", "content") in found(*images)


def test_more_differences_than_are_kept_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(differences, "MOST", 3)
    for name in "ab":
        (tmp_path / name).mkdir()
    for number in range(10):
        (tmp_path / "b" / str(number)).write_bytes(b"")
    comparison = compare(tmp_path / "a", tmp_path / "b")
    assert len(comparison.differences) == 3 and comparison.more >= 7 and not comparison.equal


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("0100000200200000000000000000000000000000", "cap_net_raw=ep"),
        ("0000000200000000002000000000000000000000", "cap_net_raw=i"),
        ("010000030020000000000000000000000000000064000000", "cap_net_raw=ep [rootid=100]"),
        ("0100000203000000030000000000000000000000", "cap_chown,cap_dac_override=eip"),
        ("00000002", "0x00000002"),
        ("", "0x"),
    ],
)
def test_capabilities_are_told_as_getcap_does(value: str, text: str) -> None:
    assert capability_text(bytes.fromhex(value)) == text

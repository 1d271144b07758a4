"""Archives of packages: kept as they are, and unable to reach out of the tree."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from os_image_composer.chroot.job import Completed, MakeSymlink, Tree, WriteFile
from os_image_composer.chroot.sandbox import Sandbox
from os_image_composer.errors import ComposerError, StepError, TrustError

Sh = Callable[..., Completed]
MakeLayer = Callable[..., Path]
CAPABILITY = bytes.fromhex("0100000200200000000000000000000000000000")  # cap_net_raw=ep, version 2


@dataclass
class Archive:
    name: str = "package"
    buffer: io.BytesIO = field(default_factory=io.BytesIO)
    format: int = tarfile.GNU_FORMAT
    members: list[tuple[tarfile.TarInfo, bytes]] = field(default_factory=list)

    def add(self, name: str, content: bytes = b"", **fields: Any) -> Archive:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        for key, value in {"mode": 0o644, "mtime": 1_000_000_000, **fields}.items():
            setattr(member, key, value)
        self.members.append((member, content))
        return self

    def folder(self, name: str, mode: int = 0o755, **fields: Any) -> Archive:
        return self.add(name, type=tarfile.DIRTYPE, mode=mode, **fields)

    def symlink(self, name: str, target: str) -> Archive:
        return self.add(name, type=tarfile.SYMTYPE, linkname=target, mode=0o777)

    def bytes(self) -> bytes:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=self.format) as tar:
            for member, content in self.members:
                tar.addfile(member, io.BytesIO(content))
        return buffer.getvalue()

    def open(self) -> BinaryIO:
        return io.BytesIO(self.bytes())


@pytest.fixture
def unpack(sandbox: Sandbox, layer: MakeLayer) -> Callable[..., Path]:
    def run(*archives: Archive, into: Path | None = None) -> Path:
        path = into or layer("unpacked")
        sandbox.unpack(path, archives)
        return path

    return run


Unpack = Callable[..., Path]


def test_owners_modes_times_and_links_are_kept(unpack: Unpack, sh: Sh) -> None:
    archive = (
        Archive()
        .folder("./")
        .folder("./var/", 0o2775, gid=50)
        .add("./var/su", b"x" * 3_000_000, mode=0o6755, uid=7, gid=42, mtime=1_234_567_890)
        .add("./var/again", type=tarfile.LNKTYPE, linkname="./var/su")
        .symlink("./var/link", "su")
        .add("./var/pipe", type=tarfile.FIFOTYPE, mode=0o600)
    )
    tree = unpack(archive)
    done = sh(
        "cd /var; stat -c '%n %a %u:%g %Y' .; stat -c '%n %a %u:%g %h %Y %s' su again; readlink link; stat -c %F pipe",
        lower=(tree,),
    )
    assert done.output.decode().splitlines() == [
        ". 2775 0:50 1000000000",
        "su 6755 7:42 2 1234567890 3000000",
        "again 6755 7:42 2 1234567890 3000000",
        "su",
        "fifo",
    ]
    assert (tree / "var/link").lstat().st_mtime == 1_000_000_000


def test_a_symlinked_parent_is_followed_inside(unpack: Unpack, layer: MakeLayer) -> None:
    tree = unpack(
        Archive("base").folder("./usr").folder("./usr/lib").symlink("./lib", "usr/lib").symlink("./abs", "/usr/lib"),
        Archive("user").folder("./lib").add("./lib/one", b"1").add("./abs/two", b"2"),
    )
    assert sorted(p.name for p in (tree / "usr/lib").iterdir()) == ["one", "two"]
    assert (tree / "lib").is_symlink()


def test_a_symlink_to_a_directory_that_comes_later_is_followed(unpack: Unpack) -> None:
    tree = unpack(Archive().symlink("./lib", "usr/lib").add("./lib/one", b"1"))
    assert (tree / "usr/lib/one").read_bytes() == b"1"


def test_absolute_symlinks_stay_inside(unpack: Unpack, place: Path) -> None:
    outside = place / "outside"
    outside.mkdir()
    tree = unpack(Archive().symlink("./way", str(outside)).add("./way/file", b"1"))
    assert list(outside.iterdir()) == []
    assert (tree / str(outside).lstrip("/") / "file").read_bytes() == b"1"


@pytest.mark.parametrize("target", ["../../../../..", "/../..", "usr/../../etc", ".."])
def test_symlinks_that_climb_are_kept_as_they_are(unpack: Unpack, target: str) -> None:
    tree = unpack(Archive().symlink("./up", target))
    assert str((tree / "up").readlink()) == target


@pytest.mark.parametrize("link", [".", "./usr/share"])
@pytest.mark.parametrize("name", ["file", "below/file"])
def test_nothing_is_put_through_symlinks_that_climb(unpack: Unpack, link: str, name: str) -> None:
    climbing = Archive("first").folder("./usr/share").symlink(f"{link}/up", "../../../../../..")
    with pytest.raises(TrustError) as caught:
        unpack(climbing, Archive("second").add(f"{link}/up/{name}", b"1"))
    assert caught.value.reference == "path-leads-out"
    assert caught.value.message.startswith("second: ")


def test_a_symlink_that_no_longer_climbs_is_followed(unpack: Unpack) -> None:
    tree = unpack(
        Archive("first").folder("./usr").symlink("./up", "../.."),
        Archive("second").symlink("./up", "usr").add("./up/file", b"1"),
    )
    assert (tree / "usr/file").read_bytes() == b"1"


def test_a_file_replaces_a_symlink_and_not_its_target(unpack: Unpack, place: Path) -> None:
    tree = unpack(Archive().add("./target", b"old").symlink("./link", "target"), Archive().add("./link", b"new"))
    assert (tree / "target").read_bytes() == b"old"
    assert (tree / "link").read_bytes() == b"new"


def test_names_without_a_leading_dot_are_of_the_tree(unpack: Unpack) -> None:
    assert (unpack(Archive().add("etc/x", b"1")) / "etc/x").read_bytes() == b"1"


def test_names_that_are_not_utf8_are_kept(unpack: Unpack) -> None:
    name = os.fsdecode(b"caf\xe9")
    assert [p.name for p in unpack(Archive().add(name, b"1")).iterdir()] == [name]


def test_attributes_of_pax_are_kept_and_labels_are_not(unpack: Unpack, sandbox: Sandbox) -> None:
    archive = Archive(format=tarfile.PAX_FORMAT).folder("./usr").add("./usr/ping", b"1", mode=0o755)
    archive.members[-1][0].pax_headers = {
        "SCHILY.xattr.security.capability": CAPABILITY.decode("latin-1"),
        "SCHILY.xattr.user.note": "a b",
        "SCHILY.xattr.security.selinux": "system_u:object_r:bin_t:s0",
    }
    survey = sandbox.survey(Tree((unpack(archive),)))
    assert survey.xattrs == (("usr/ping", "security.capability", CAPABILITY), ("usr/ping", "user.note", b"a b"))


@pytest.mark.parametrize(
    ("reference", "archive"),
    [
        ("path-leads-out", Archive().add("../outside", b"1")),
        ("path-leads-out", Archive().add("./a/../../outside", b"1")),
        ("path-leads-out", Archive().add("/../outside", b"1")),
        ("path-leads-out", Archive().add("/etc/x", b"1")),
        ("path-leads-out", Archive().folder("/etc")),
        ("path-leads-out", Archive().add("./x", type=tarfile.LNKTYPE, linkname="../../etc/passwd")),
        ("hard-link-leads-out", Archive().add("./x", type=tarfile.LNKTYPE, linkname="/etc/passwd")),
        ("hard-link-leads-out", Archive().add("./a", b"1").add("./x", type=tarfile.LNKTYPE, linkname="/a")),
        ("hard-link-leads-out", Archive().add("./x", type=tarfile.LNKTYPE, linkname="./etc/passwd")),
        (
            "hard-link-leads-out",
            Archive().symlink("./etc", "/../../etc").add("./x", type=tarfile.LNKTYPE, linkname="./etc/passwd"),
        ),
        ("device-node", Archive().add("./null", type=tarfile.CHRTYPE, devmajor=1, devminor=3)),
        ("device-node", Archive().add("./disk", type=tarfile.BLKTYPE, devmajor=8, devminor=0)),
        ("device-node", Archive().add("./whiteout", type=tarfile.CHRTYPE)),
        ("id-out-of-range", Archive().add("./x", b"", uid=65535)),
        ("id-out-of-range", Archive().add("./x", b"", gid=2_000_000)),
        ("path-leads-out", Archive().symlink("./", "/etc")),
    ],
)
def test_what_no_package_may_hold_is_refused(
    unpack: Unpack, sandbox: Sandbox, place: Path, reference: str, archive: Archive
) -> None:
    with pytest.raises(TrustError) as caught:
        unpack(Archive("good").add("./fine", b"1"), archive)
    assert caught.value.reference == reference
    assert caught.value.message.startswith(f"package: {archive.members[-1][0].name}: ")
    assert not (place / "outside").exists()


def test_an_attribute_that_makes_a_layer_lie_is_refused(unpack: Unpack) -> None:
    archive = Archive(format=tarfile.PAX_FORMAT).folder("./etc")
    archive.members[-1][0].pax_headers = {"SCHILY.xattr.user.overlay.opaque": "y"}
    with pytest.raises(TrustError) as caught:
        unpack(archive)
    assert caught.value.reference == "overlay-attribute"


def test_a_directory_is_not_replaced_by_a_file(unpack: Unpack) -> None:
    with pytest.raises(StepError) as caught:
        unpack(Archive().folder("./a"), Archive("second").add("./a", b"1"))
    assert (caught.value.reference, caught.value.message.split(":")[0]) == ("is-a-directory", "second")


def test_a_file_is_not_a_parent(unpack: Unpack) -> None:
    with pytest.raises(StepError) as caught:
        unpack(Archive().add("./a", b"1").add("./a/b", b"2"))
    assert caught.value.reference == "not-a-directory"


def test_a_symlink_to_itself_is_an_error_and_no_hang(unpack: Unpack) -> None:
    with pytest.raises(ComposerError):
        unpack(Archive().symlink("./a", "a").add("./a/b", b"2"))


@dataclass
class Cut(Archive):
    def open(self) -> BinaryIO:
        return io.BytesIO(self.bytes()[:600])


def test_a_truncated_archive_is_an_error(unpack: Unpack) -> None:
    with pytest.raises(TrustError) as caught:
        unpack(Cut("short").add("./a", b"x" * 5000))
    assert caught.value.reference == "archive-damaged"
    assert "short" in caught.value.message


@dataclass
class WrongRecord(Archive):
    def open(self) -> BinaryIO:
        return io.BytesIO(self.bytes().replace(b"13 mtime=", b"12 mtime="))


def test_an_archive_whose_extended_header_lies_is_an_error(unpack: Unpack) -> None:
    archive = WrongRecord("lies", format=tarfile.PAX_FORMAT).add("./a", b"1")
    archive.members[-1][0].pax_headers = {"mtime": "1.5", "comment": "x"}
    assert b"13 mtime=1.5" in archive.bytes()
    with pytest.raises(TrustError) as caught:
        unpack(archive)
    assert caught.value.reference == "archive-damaged"


class Broken(Archive):
    def open(self) -> BinaryIO:
        raise TrustError("wrong-checksum", "not what was locked")


def test_an_error_while_reading_comes_out_unchanged(unpack: Unpack) -> None:
    with pytest.raises(TrustError) as caught:
        unpack(Archive().add("./a", b"1"), Broken("broken"), *(Archive().add("./b", b"x" * 10_000_000),) * 3)
    assert caught.value.reference == "wrong-checksum"


def test_many_archives_come_in_order(unpack: Unpack) -> None:
    archives = [Archive(str(n)).add("./same", str(n).encode()).add(f"./{n}", b"x" * 100_000) for n in range(40)]
    tree = unpack(*archives)
    assert (tree / "same").read_bytes() == b"39"
    assert len(list(tree.iterdir())) == 41


def test_same_archives_same_digest(unpack: Unpack, sandbox: Sandbox, layer: MakeLayer) -> None:
    archive = Archive().folder("./a").add("./a/b", b"1").symlink("./c", "a").add("./d/e", b"2")
    one, two = unpack(archive, into=layer("one")), unpack(archive, into=layer("two"))
    assert sandbox.digest(one, 1_500_000_000) == sandbox.digest(two, 1_500_000_000)


def test_edits_of_a_hostile_tree_stay_inside(unpack: Unpack, sandbox: Sandbox, layer: MakeLayer, place: Path) -> None:
    tree = unpack(Archive().symlink("./etc", str(place)).symlink("./x", "/proc/self/root/etc"))
    upper = layer("upper")
    sandbox.edit(Tree((tree,), upper), [WriteFile("etc/new", b"1"), MakeSymlink("x/y", "z")])
    assert not (place / "new").exists()
    assert (upper / str(place).lstrip("/") / "new").read_bytes() == b"1"

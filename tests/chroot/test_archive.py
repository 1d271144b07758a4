"""A tree as a tar stream: what is in it, in which order, and the same bytes each time."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from os_image_composer.chroot.job import Edit, MakeDirectory, MakeSymlink, Tree, WriteFile
from os_image_composer.chroot.sandbox import Sandbox
from os_image_composer.chroot.tree import Xattr

MakeLayer = Callable[..., Path]
CLAMP = 1_000_000_000
LONG = "n" * 150


@pytest.fixture
def tree(sandbox: Sandbox, layer: MakeLayer) -> Tree:
    lower = layer("lower", {"etc/motd": b"hello", f"etc/{LONG}": b"", "gone": b"x"})
    upper = layer("upper")
    edits: list[Edit] = [
        WriteFile("/usr/bin/tool", b"t" * 1500, 0o4755, 7, 8),
        MakeSymlink("/link", f"etc/{LONG}"),
        MakeDirectory("/srv", 0o1777, 33, 34),
        WriteFile("/etc/motd", b"changed"),
    ]
    sandbox.edit(Tree((lower,), upper), edits)
    os.setxattr(lower / "gone", "user.note", b"\xff\0=\n")
    return Tree((lower, upper))


def entries(content: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        return {member.name: member for member in archive}


def archived(sandbox: Sandbox, tree: Tree, file: Path, *attributes: Xattr) -> bytes:
    sandbox.archive(tree, CLAMP, file, attributes)
    return file.read_bytes()


def test_merged_tree_is_there_with_owners_modes_and_clamped_times(sandbox: Sandbox, tree: Tree, tmp_path: Path) -> None:
    found = entries(archived(sandbox, tree, tmp_path / "tar"))
    assert list(found) == [
        ".",
        "etc",
        "etc/motd",
        f"etc/{LONG}",
        "gone",
        "link",
        "srv",
        "usr",
        "usr/bin",
        "usr/bin/tool",
    ]
    tool, srv, link = found["usr/bin/tool"], found["srv"], found["link"]
    assert (tool.mode, tool.uid, tool.gid, tool.size) == (0o4755, 7, 8, 1500)
    assert (srv.mode, srv.uid, srv.gid) == (0o1777, 33, 34)
    assert (link.type, link.linkname) == (tarfile.SYMTYPE, f"etc/{LONG}")
    assert {member.mtime for member in found.values()} == {CLAMP}


def test_attributes_are_those_of_the_tree_and_those_given_byte_for_byte(
    sandbox: Sandbox, tree: Tree, tmp_path: Path
) -> None:
    label = Xattr("etc/motd", "security.selinux", b"system_u:object_r:etc_t:s0\0")
    content = archived(sandbox, tree, tmp_path / "tar", label, Xattr("", "security.selinux", b"root"))
    assert b" SCHILY.xattr.user.note=\xff\0=\n\n" in content
    assert b" SCHILY.xattr.security.selinux=system_u:object_r:etc_t:s0\0\n" in content
    found = entries(content)
    assert found["."].pax_headers["SCHILY.xattr.security.selinux"] == "root"
    assert not any("SCHILY" in key for key in found["usr/bin/tool"].pax_headers)


def test_names_of_one_file_are_links_of_the_first(sandbox: Sandbox, layer: MakeLayer, tmp_path: Path) -> None:
    path = layer("linked", {"b": b"content"})
    os.link(path / "b", path / "c")
    os.link(path / "b", path / "a")
    found = entries(archived(sandbox, Tree((path,)), tmp_path / "tar"))
    assert [(m.name, m.type, m.linkname) for m in found.values()][1:] == [
        ("a", tarfile.REGTYPE, ""),
        ("b", tarfile.LNKTYPE, "a"),
        ("c", tarfile.LNKTYPE, "a"),
    ]


def test_same_tree_is_the_same_stream(sandbox: Sandbox, tree: Tree, tmp_path: Path) -> None:
    one, two = archived(sandbox, tree, tmp_path / "one"), archived(sandbox, tree, tmp_path / "two")
    assert one == two
    assert len(one) % 512 == 0

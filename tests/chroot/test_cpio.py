from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from os_image_composer.chroot.job import Completed, Edit, MakeDirectory, MakeSymlink, Tree, WriteFile
from os_image_composer.chroot.sandbox import Sandbox
from os_image_composer.errors import StepError
from support.cpio import Member, members

Sh = Callable[..., Completed]
MakeLayer = Callable[..., Path]
EPOCH = 1_000_000_000


def archived(sandbox: Sandbox, tree: Tree, file: Path) -> dict[str, Member]:
    sandbox.cpio(tree, file, EPOCH)
    (found,) = members(file)
    assert [m.name for m in found] == sorted((m.name for m in found), key=lambda n: (n != ".", n.split("/")))
    return {m.name: m for m in found}


def test_owners_modes_and_clamped_times_are_those_of_the_tree(
    sandbox: Sandbox, layer: MakeLayer, tmp_path: Path
) -> None:
    base = layer("base")
    edits: list[Edit] = [
        WriteFile("/bin/su", b"program", 0o4755, 0, 0),
        WriteFile("/srv/note", b"", 0o640, 1000, 42),
        MakeDirectory("/tmp", 0o1777),
        MakeSymlink("/sbin", "bin"),
    ]
    sandbox.edit(Tree(upper=base), edits)
    found = archived(sandbox, Tree((base,)), tmp_path / "archive")
    assert set(found) == {".", "bin", "bin/su", "srv", "srv/note", "tmp", "sbin"}
    assert found["bin/su"].mode == stat.S_IFREG | 0o4755
    assert (found["srv/note"].mode, found["srv/note"].uid, found["srv/note"].gid) == (stat.S_IFREG | 0o640, 1000, 42)
    assert found["tmp"].mode == stat.S_IFDIR | 0o1777
    assert found["."].mode == stat.S_IFDIR | 0o755  # the kernel's first root is open to everybody without it
    assert stat.S_ISLNK(found["sbin"].mode)
    assert {m.mtime for m in found.values()} == {EPOCH}
    assert {m.device for m in found.values()} == {(0, 0)}


def test_bytes_are_the_same_however_the_tree_is_layered(sandbox: Sandbox, layer: MakeLayer, tmp_path: Path) -> None:
    files = {"etc/a": b"a" * 5000, "etc/b": b"", "usr/lib/c": b"\0" * 1_200_000}
    whole = layer("whole", files)
    one, two = layer("one", {"usr/lib/c": files["usr/lib/c"], "etc/b": b"hidden"}), layer("two")
    sandbox.edit(Tree((one,), two), [WriteFile("etc/b", b""), WriteFile("etc/a", files["etc/a"])])
    archived(sandbox, Tree((whole,)), tmp_path / "whole")
    archived(sandbox, Tree((one, two)), tmp_path / "layered")
    assert (tmp_path / "whole").read_bytes() == (tmp_path / "layered").read_bytes()


def test_names_of_one_file_share_a_number_and_the_last_has_its_content(
    sandbox: Sandbox, sh: Sh, layer: MakeLayer, tmp_path: Path
) -> None:
    base, upper = layer("base"), layer("upper")
    assert (
        sh("mkdir /d; echo one >/d/b; ln /d/b /d/a; ln /d/b /d/c; echo two >/d/x; ln /d/x /d/y", upper=base).status == 0
    )
    assert sh("echo three >/d/y.new; mv /d/y.new /d/y", lower=(base,), upper=upper).status == 0
    found = archived(sandbox, Tree((base, upper)), tmp_path / "archive")
    assert {found[name].links for name in ("d/a", "d/b", "d/c")} == {3}
    assert len({found[name].inode for name in ("d/a", "d/b", "d/c")}) == 1
    assert [found[name].content for name in ("d/a", "d/b", "d/c")] == [b"", b"", b"one\n"]
    # The other name of what was replaced is no link of anything that can be seen.
    assert (found["d/x"].links, found["d/x"].content) == (1, b"two\n")
    assert (found["d/y"].links, found["d/y"].content) == (1, b"three\n")


def test_a_socket_is_refused(sandbox: Sandbox, sh: Sh, layer: MakeLayer, tmp_path: Path) -> None:
    base = layer("base")
    program = "import socket; socket.socket(socket.AF_UNIX).bind('/socket')"
    assert sh(f'python3 -c "{program}"', upper=base).status == 0
    with pytest.raises(StepError) as error:
        sandbox.cpio(Tree((base,)), tmp_path / "archive", EPOCH)
    assert error.value.reference == "not-in-archive"
    assert "/socket" in error.value.message

"""The ext reader against what mke2fs wrote, with the files themselves and debugfs as oracles."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from os_image_composer.formats.ext4 import Ext4
from os_image_composer.formats.filesystem import NodeKind, names, read_file, walk
from os_image_composer.formats.window import FileSource, FormatError, Window
from support.small_images import MIB, ext_image, made

SHAPES = {
    "ext4": ("ext4",),
    "ext4-1k": ("ext4", "-b", "1024"),
    "ext4-plain": ("ext4", "-b", "4096", "-O", "^64bit,^metadata_csum,^dir_index,^flex_bg"),
    "ext4-inline": ("ext4", "-O", "inline_data"),
    "ext4-small-inodes": ("ext4", "-I", "128"),
    "ext3": ("ext3", "-b", "1024"),
    "ext2": ("ext2", "-b", "1024"),
}


@pytest.fixture(params=SHAPES, scope="module")
def image(request: pytest.FixtureRequest, tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    kind, *options = SHAPES[request.param]
    return ext_image(tmp_path_factory.mktemp("ext") / f"{request.param}.img", tree, kind, *options)


def dumped(image: Path, name: str, folder: Path) -> bytes:
    made("debugfs", "-R", f'dump "/{name}" {folder / "dumped"}', str(image))
    return (folder / "dumped").read_bytes()


def test_every_file_is_there_with_its_content_owner_and_mode(image: Path, tree: Path, tmp_path: Path) -> None:
    with FileSource(image) as source:
        filesystem = Ext4(Window.over(source))
        found = dict(walk(filesystem))
        expected = {str(p.relative_to(tree)): p for p in tree.rglob("*")}
        assert set(found) == {*expected, "lost+found"}
        for name, path in expected.items():
            node, status = found[name], path.lstat()
            assert (node.mode, node.uid, node.gid) == (status.st_mode & 0o7777, status.st_uid, status.st_gid), name
            assert node.mtime == int(status.st_mtime), name
            if path.is_symlink():
                assert node.kind is NodeKind.SYMLINK
                target = os.readlink(path)  # noqa: PTH115 - a Path would lose the dots
                assert filesystem.link_target(node) == target
            elif path.is_file():
                content = filesystem.content(node).read(0, node.size)
                # mke2fs 1.47.0 fills sparse files wrongly where small files go into inodes.
                wrong = "inline" in image.name and name == "sparse"
                oracle = dumped(image, name, tmp_path) if wrong else path.read_bytes()
                assert content == oracle, name
            elif path.is_fifo():
                assert node.kind is NodeKind.OTHER


def test_volume_is_as_blkid_and_dumpe2fs_see_it(image: Path) -> None:
    with FileSource(image) as source:
        volume = Ext4(Window.over(source)).volume
    told = made("blkid", "-p", "-o", "export", str(image)).stdout.decode()
    fields = dict(line.split("=", 1) for line in told.splitlines())
    assert (volume.kind, volume.uuid, volume.label) == (fields["TYPE"], fields["UUID"], "sample")
    header = made("dumpe2fs", "-h", str(image)).stdout.decode()
    features = re.search(r"Filesystem features:\s+(.*)", header)
    assert features
    assert set(volume.features) == set(features[1].split())
    count, free, size = (
        int(re.search(rf"{name}:\s+(\d+)", header)[1])  # type: ignore[index]
        for name in ("Block count", "Free blocks", "Block size")
    )
    assert (volume.size, volume.used, volume.block_size) == (count * size, (count - free) * size, size)


def test_symlinks_are_followed_and_never_lead_out(image: Path) -> None:
    with FileSource(image) as source:
        filesystem = Ext4(Window.over(source))
        for name in (
            "short-link",
            "absolute-link",
            "long-link",
            "out-link",
            "dir-link/os-release",
            "../etc/os-release",
        ):
            assert read_file(filesystem, name, 1000) == b"ID=sample\nNAME=Sample\n", name
        assert filesystem.find("/nowhere") is None
        assert filesystem.find("/one-block/inside") is None
        with pytest.raises(FormatError, match="no end"):
            filesystem.find("/loop")


def test_names_of_a_large_directory_equal_debugfs(image: Path) -> None:
    listing = made("debugfs", "-R", "ls -p /many", str(image)).stdout.decode()
    shown = {line.split("/")[5] for line in listing.splitlines() if line.count("/") >= 6}
    with FileSource(image) as source:
        assert set(names(Ext4(Window.over(source)), "/many")) == shown - {".", ".."}


def test_attributes_in_the_inode_and_in_a_block_of_their_own_are_read(tree: Path, tmp_path: Path) -> None:
    image = ext_image(tmp_path / "x.img", tree, "ext4")
    long = "v" * 900
    commands = f"ea_set /empty user.short abc\nea_set /empty user.long {long}\nea_set /empty security.selinux s:t\n"
    (tmp_path / "commands").write_text(commands)
    made("debugfs", "-w", "-f", str(tmp_path / "commands"), str(image))
    with FileSource(image) as source:
        filesystem = Ext4(Window.over(source))
        node = filesystem.find("/empty")
        assert node
        assert filesystem.attributes(node) == {
            "user.short": b"abc",
            "user.long": long.encode(),
            "security.selinux": b"s:t",
        }


def test_file_with_more_extents_than_an_inode_holds_is_read_through_its_tree(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    scattered = tmp_path / "tree" / "scattered"
    with scattered.open("wb") as stream:
        for number in range(900):
            stream.seek(number * 8192)
            stream.write(b"piece %d" % number)
    image = ext_image(tmp_path / "x.img", tmp_path / "tree", "ext4", "-b", "1024", size=16 * MIB)
    assert b" 2/ 2 " in made("debugfs", "-R", "extents /scattered", str(image)).stdout
    with FileSource(image) as source:
        assert read_file(Ext4(Window.over(source)), "/scattered", 1 << 24) == scattered.read_bytes()

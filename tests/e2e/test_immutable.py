"""The default image's root is sealed: two partitions, one root hash, and nothing else that would do."""

from __future__ import annotations

from pathlib import Path

import pytest

from os_image_composer.formats.filesystem import read_file
from os_image_composer.formats.volumes import open_filesystem
from os_image_composer.formats.window import FileSource, Window
from os_image_composer.image.layout import MIB
from support.sealed import Sealed
from support.tools import host_tool
from support.workshop import Workshop

pytestmark = pytest.mark.build


@pytest.fixture(scope="module")
def image(built: Workshop) -> Sealed:
    return Sealed.of(built.image())


def test_hash_tree_on_the_disk_is_that_of_the_root_and_of_the_ukis_root_hash(image: Sealed, tmp_path: Path) -> None:
    assert image.verified(tmp_path / "cut")


def test_partitions_are_called_by_the_root_hash_and_marked_read_only(image: Sealed) -> None:
    root, tree, value = image.partitions["root"], image.partitions[image.hash_name], image.root_hash
    assert ((root.uuid or "") + (tree.uuid or "")).replace("-", "").lower() == value[:32] + value[-32:]
    assert root.attributes == tree.attributes == 1 << 60
    assert "root=/dev/mapper/root ro" in image.cmdline
    assert "systemd.verity_root_options=panic-on-corruption" in image.cmdline


@pytest.mark.parametrize("part", ["root", "tree", "root hash"])
def test_one_changed_bit_is_noticed(image: Sealed, tmp_path: Path, part: str) -> None:
    other = image.copy(tmp_path / "image.raw")
    if part == "root hash":
        last = image.cmdline.replace(
            image.root_hash, image.root_hash[:-1] + ("0" if image.root_hash[-1] != "0" else "1")
        )
        other = Sealed(other.image, other.partitions, last)
    else:
        partition = other.partitions["root" if part == "root" else image.hash_name]
        other.change(partition.start + 2 * MIB + 5)
    assert not other.verified(tmp_path / "cut")


def test_root_has_no_journal_and_is_whole(image: Sealed, tmp_path: Path) -> None:
    root = image.cut("root", tmp_path / "root")
    assert host_tool("e2fsck", "-fn", str(root)).returncode == 0
    with FileSource(root) as source:
        filesystem = open_filesystem(Window.over(source))
        assert filesystem is not None
        assert "has_journal" not in filesystem.volume.features
        fstab = (read_file(filesystem, "/etc/fstab", MIB) or b"").decode()
        assert read_file(filesystem, "/usr/lib/dracut/modules.d/90image-state/state.sh", MIB) is None
    assert fstab.startswith("/dev/mapper/root\t/\text4\tro\t0\t0\n")
    assert "userdata" not in fstab


def test_data_partition_is_an_empty_filesystem(image: Sealed, tmp_path: Path) -> None:
    data = image.cut("data", tmp_path / "data")
    assert host_tool("e2fsck", "-fn", str(data)).returncode == 0
    names = host_tool("debugfs", "-R", "ls -p /", str(data)).stdout.decode().splitlines()
    assert [line.split("/")[5] for line in names if line.strip()] == [".", "..", "lost+found"]

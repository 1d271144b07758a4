"""Hash trees as veritysetup makes them, whole and changed."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from os_image_composer.formats.verity import TreeCheck, check_tree, read_superblock
from os_image_composer.formats.window import FormatError, Window
from support.tools import host_tool

SALT = "ab" * 32
BLOCK = 4096
BLOCKS = 700  # two levels: 700 hashes take six blocks, and one above them


def sealed(folder: Path, blocks: int = BLOCKS, *options: str) -> tuple[bytes, bytes, bytes]:
    """Data, hash tree and root hash."""
    data, tree, root = folder / "data", folder / "tree", folder / "root"
    data.write_bytes(random.Random(1).randbytes(blocks * BLOCK // 2) + bytes(blocks * BLOCK // 2))
    words = ("veritysetup", "format", f"--salt={SALT}", "--uuid=8f8a2f51-54d1-4cf5-9ec5-6c8f6a0c3f0e", *options)
    done = host_tool(*words, f"--root-hash-file={root}", str(data), str(tree))
    assert done.returncode == 0, done.stderr
    return data.read_bytes(), tree.read_bytes(), bytes.fromhex(root.read_text())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes, bytes]:
    return sealed(tmp_path_factory.mktemp("verity"))


def check(data: bytes, tree: bytes, root: bytes) -> TreeCheck:
    return check_tree(Window.of(data), Window.of(tree), root)


def flipped(data: bytes, at: int) -> bytes:
    changed = bytearray(data)
    changed[at] ^= 1
    return bytes(changed)


def test_superblock_is_what_was_asked_for(made: tuple[bytes, bytes, bytes]) -> None:
    block = read_superblock(Window.of(made[1]))
    assert str(block.uuid) == "8f8a2f51-54d1-4cf5-9ec5-6c8f6a0c3f0e"
    assert (block.algorithm, block.data_block, block.hash_block, block.data_blocks) == ("sha256", BLOCK, BLOCK, BLOCKS)
    assert block.salt.hex() == SALT


def test_what_is_whole_is_sound(made: tuple[bytes, bytes, bytes]) -> None:
    assert check(*made).sound


@pytest.mark.parametrize("blocks", [2, 128, 129, 128 * 128 + 1])
def test_trees_of_every_depth_are_sound(tmp_path: Path, blocks: int) -> None:
    assert check(*sealed(tmp_path, blocks)).sound


@pytest.mark.parametrize("options", [("--hash=sha512",), ("--data-block-size=1024", "--hash-block-size=1024")])
def test_other_hashes_and_sizes_are_read(tmp_path: Path, options: tuple[str, ...]) -> None:
    data, tree, root = sealed(tmp_path, 300, *options)
    assert check(data, tree, root).sound
    assert check(flipped(data, 50_000), tree, root).damaged == 1


def test_single_block_is_its_own_root(tmp_path: Path) -> None:
    data, tree, root = sealed(tmp_path, 1)
    assert check(data, tree, root).sound
    assert not check(flipped(data, 3), tree, root).sound


def test_changed_byte_of_the_data_is_found_where_it_is(made: tuple[bytes, bytes, bytes]) -> None:
    data, tree, root = made
    assert check(flipped(data, 123 * BLOCK + 7), tree, root) == TreeCheck(True, (), (123,), 1)


def test_changed_byte_in_a_hole_is_found(made: tuple[bytes, bytes, bytes]) -> None:
    data, tree, root = made
    assert check(flipped(data, len(data) - 1), tree, root).data == (BLOCKS - 1,)


def test_changed_byte_of_the_tree_is_found_where_it_is(made: tuple[bytes, bytes, bytes]) -> None:
    data, tree, root = made
    assert check(data, flipped(tree, 2 * BLOCK + 5), root) == TreeCheck(True, (2,), (), 1)
    assert check(data, flipped(tree, BLOCK + 5), root) == TreeCheck(root=False)


def test_other_root_hash_is_not_this_trees(made: tuple[bytes, bytes, bytes]) -> None:
    data, tree, root = made
    assert check(data, tree, flipped(root, 0)) == TreeCheck(root=False)
    assert check(data, tree, root[:31]) == TreeCheck(root=False)
    assert check(data, tree, b"") == TreeCheck(root=False)


def test_other_salt_makes_another_tree(made: tuple[bytes, bytes, bytes]) -> None:
    data, tree, root = made
    assert not check(data, flipped(tree, 88), root).root


def test_veritysetup_agrees_on_what_is_damaged(made: tuple[bytes, bytes, bytes], tmp_path: Path) -> None:
    assert shutil.which("veritysetup", path="/usr/sbin:/sbin")
    data, tree, root = made
    (tmp_path / "tree").write_bytes(tree)
    for at in (0, 123 * BLOCK, len(data) - 1):
        (tmp_path / "data").write_bytes(flipped(data, at))
        done = host_tool("veritysetup", "verify", str(tmp_path / "data"), str(tmp_path / "tree"), root.hex())
        assert done.returncode != 0
        assert not check(flipped(data, at), tree, root).sound


def test_data_that_was_cut_off_is_an_error(made: tuple[bytes, bytes, bytes]) -> None:
    data, tree, root = made
    for shorter in ((data[:-BLOCK], tree), (data, tree[:-BLOCK]), (data, tree[:600])):
        with pytest.raises(FormatError):
            check(*shorter, root)


@pytest.mark.parametrize(
    ("at", "value"),
    [(8, 2), (12, 0), (32, ord("x")), (64, 3), (69, 0), (72 + 6, 0xFF), (80 + 1, 2)],
)
def test_superblock_that_says_what_is_not_read_here_is_an_error(
    made: tuple[bytes, bytes, bytes], at: int, value: int
) -> None:
    data, tree, root = made
    changed = bytearray(tree)
    changed[at] = value
    with pytest.raises(FormatError):
        check(data, bytes(changed), root)

"""What a block map leaves out nobody misses: a medium full of other data, on which only the named blocks were written,
is as good as the disk itself."""

from __future__ import annotations

import hashlib
import itertools
import re
from pathlib import Path

import pytest

from os_image_composer.formats.ext4 import Ext4
from os_image_composer.formats.fat import Fat
from os_image_composer.formats.needed_space import BLOCK, needed_blocks
from os_image_composer.formats.window import FileSource, Window
from os_image_composer.image.block_map import block_map
from support.small_images import MIB, ext_image, fat_image, made, partitioned, sample_tree
from support.tools import host_tool

TABLE = "label: gpt\nfirst-lba: 2048\nstart=1MiB,size=40MiB,type=uefi\nstart=48MiB,size=64MiB\nstart=120MiB,size=4MiB\n"
SIZE = 128 * MIB
ESP, ROOT, EMPTY = (1, 40), (48, 64), (120, 4)  # in MiB: where each begins, and its size


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("disk")
    tree = sample_tree(folder / "tree")
    path = partitioned(folder / "disk.raw", TABLE, SIZE)
    fat, ext = fat_image(folder / "esp", 32, tree), ext_image(folder / "root", tree, "ext4", size=ROOT[1] * MIB)
    with path.open("r+b") as file:
        for (start, _), source in ((ESP, fat), (ROOT, ext)):
            data = source.read_bytes()
            for at in range(0, len(data), BLOCK):
                if data[at : at + BLOCK].strip(b"\0"):
                    file.seek(start * MIB + at)
                    file.write(data[at : at + BLOCK])
    return path


def needed(path: Path) -> list[tuple[int, int]]:
    with FileSource(path) as source:
        return list(needed_blocks(source))


def flashed(disk: Path, target: Path) -> Path:
    """As bmaptool writes it to a medium that was used before."""
    data = bytearray(b"\xa5" * disk.stat().st_size)
    content = disk.read_bytes()
    for first, last in needed(disk):
        data[first * BLOCK : (last + 1) * BLOCK] = content[first * BLOCK : (last + 1) * BLOCK]
    target.write_bytes(data)
    return target


def part(path: Path, where: tuple[int, int], target: Path) -> Path:
    with path.open("rb") as file:
        file.seek(where[0] * MIB)
        target.write_bytes(file.read(where[1] * MIB))
    return target


def test_filesystems_on_a_used_medium_are_clean_and_their_files_the_same(disk: Path, tmp_path: Path) -> None:
    medium = flashed(disk, tmp_path / "medium")
    esp, root = part(medium, ESP, tmp_path / "esp"), part(medium, ROOT, tmp_path / "root")
    check = host_tool("e2fsck", "-fn", str(root))
    assert check.returncode == 0, check.stdout
    check = host_tool("fsck.fat", "-n", str(esp))
    assert check.returncode == 0, check.stdout
    assert host_tool("sfdisk", "--verify", str(medium)).returncode == 0
    before = part(disk, ROOT, tmp_path / "before")
    for name in ("/large", "/sparse", "/etc/os-release"):
        contents = [host_tool("debugfs", "-R", f"cat {name}", str(image)).stdout for image in (root, before)]
        assert contents[0] == contents[1] and contents[0]
    assert medium.read_bytes()[: 8 * MIB].count(b"\xa5" * BLOCK), "nothing was left out"


def test_much_less_than_the_disk_is_written(disk: Path) -> None:
    blocks = sum(last - first + 1 for first, last in needed(disk))
    assert blocks * BLOCK < 40 * MIB


def test_runs_are_in_order_apart_and_hold_all_that_is_no_zeros(disk: Path) -> None:
    runs = needed(disk)
    assert runs[0][0] == 0 and runs[-1][1] == SIZE // BLOCK - 1
    for (_, last), (first, _) in itertools.pairwise(runs):
        assert first > last + 1
    content = disk.read_bytes()
    inside = {number for first, last in runs for number in range(first, last + 1)}
    for number in range(SIZE // BLOCK):
        assert number in inside or not content[number * BLOCK : (number + 1) * BLOCK].strip(b"\0")


def test_the_map_is_that_of_the_bytes_and_not_of_the_files_holes(disk: Path, tmp_path: Path) -> None:
    full = tmp_path / "full.raw"
    full.write_bytes(disk.read_bytes())
    assert full.stat().st_blocks > disk.stat().st_blocks
    assert block_map(full) == block_map(disk)


def test_an_empty_partition_forgets_what_was_there(disk: Path) -> None:
    inside = {number for first, last in needed(disk) for number in range(first, last + 1)}
    first, last = EMPTY[0] * MIB // BLOCK, (EMPTY[0] + EMPTY[1]) * MIB // BLOCK - 1
    assert {first, first + MIB // BLOCK - 1, last} <= inside
    assert first + 2 * MIB // BLOCK not in inside


def test_a_sealed_disk_is_needed_as_a_whole_where_its_seal_covers_it(disk: Path, tmp_path: Path) -> None:
    """dm-verity has a hash of each block, those of no file too."""
    sealed = tmp_path / "sealed.raw"
    data = bytearray(disk.read_bytes())
    data[EMPTY[0] * MIB : EMPTY[0] * MIB + 8] = b"verity\0\0"
    sealed.write_bytes(data)
    inside = {number for first, last in needed(sealed) for number in range(first, last + 1)}
    assert set(range(ROOT[0] * MIB // BLOCK, (ROOT[0] + ROOT[1]) * MIB // BLOCK)) <= inside


def test_of_a_sealed_disk_only_what_the_seal_can_cover_is_needed_as_a_whole(disk: Path, tmp_path: Path) -> None:
    """A hash tree as veritysetup(8) makes it, of the root; the free blocks of the other filesystem are left out."""
    sealed, data = tmp_path / "sealed.raw", bytearray(disk.read_bytes())
    root, tree = part(disk, ROOT, tmp_path / "root"), tmp_path / "tree"
    made("veritysetup", "format", str(root), str(tree))
    assert tree.stat().st_size <= EMPTY[1] * MIB
    data[EMPTY[0] * MIB : EMPTY[0] * MIB + tree.stat().st_size] = tree.read_bytes()
    sealed.write_bytes(data)
    inside, before = (
        {number for first, last in needed(path) for number in range(first, last + 1)} for path in (sealed, disk)
    )
    whole = set(range(ROOT[0] * MIB // BLOCK, (ROOT[0] + ROOT[1]) * MIB // BLOCK))
    esp = set(range(ESP[0] * MIB // BLOCK, (ESP[0] + ESP[1]) * MIB // BLOCK))
    assert whole <= inside
    assert inside & esp == before & esp < esp


@pytest.mark.parametrize("damage", ["no table", "damaged table", "unknown content"])
def test_what_is_not_understood_is_written_as_a_whole(disk: Path, tmp_path: Path, damage: str) -> None:
    path = tmp_path / "disk.raw"
    data = bytearray(disk.read_bytes())
    if damage == "no table":
        data[:MIB] = data[-MIB:] = bytes(MIB)
    elif damage == "damaged table":
        data[512 + 20] ^= 1
    else:
        data[ROOT[0] * MIB + 1024 : ROOT[0] * MIB + 2048] = b"\x01" * 1024
    path.write_bytes(data)
    inside = {number for first, last in needed(path) for number in range(first, last + 1)}
    wanted = (0, SIZE // MIB) if damage != "unknown content" else ROOT
    assert set(range(wanted[0] * MIB // BLOCK, (wanted[0] + wanted[1]) * MIB // BLOCK)) <= inside


@pytest.mark.parametrize("options", [(), ("-b", "1024"), ("-O", "^flex_bg"), ("-O", "^64bit,^metadata_csum")])
def test_what_ext4_calls_free_is_what_its_own_tools_call_free(tmp_path: Path, options: tuple[str, ...]) -> None:
    """Whether a block of a group whose bitmap was never written is in use can be told more carefully, never less."""
    image = ext_image(tmp_path / "ext", sample_tree(tmp_path / "tree"), "ext4", *options, size=300 * MIB)
    said = host_tool("dumpe2fs", str(image)).stdout.decode()
    size = int(re.search(r"Block size: +(\d+)", said)[1])  # type: ignore[index]
    free: set[int] = set()
    for row in re.findall(r"^  Free blocks: (.+)$", said, re.MULTILINE):
        for run in row.split(", "):
            first, _, last = run.partition("-")
            free |= set(range(int(first), int(last or first) + 1))
    with FileSource(image, 1 << 40) as source:
        ours = {
            number
            for offset, length in Ext4(Window.over(source)).free()
            for number in range(offset // size, (offset + length) // size)
        }
    assert ours and ours <= free
    assert len(free - ours) < 0.1 * len(free)


def test_what_fat_calls_free_has_no_file_in_it(tmp_path: Path) -> None:
    image = fat_image(tmp_path / "fat", 32, sample_tree(tmp_path / "tree"))
    data = bytearray(image.read_bytes())
    with FileSource(image) as source:
        free = list(Fat(Window.over(source)).free())
    for offset, size in free:
        data[offset : offset + size] = b"\xa5" * size
    image.write_bytes(data)
    assert sum(size for _, size in free) > 20 * MIB
    assert host_tool("fsck.fat", "-n", str(image)).returncode == 0
    made("mcopy", "-i", str(image), "::large", str(tmp_path / "copy"))
    assert (tmp_path / "copy").read_bytes() == (tmp_path / "tree" / "large").read_bytes()


def test_the_map_has_the_checksum_of_each_run_and_its_own(disk: Path) -> None:
    text, content = block_map(disk), disk.read_bytes()
    own = re.search(r"<BmapFileChecksum> ([0-9a-f]{64}) <", text)
    assert own is not None
    assert hashlib.sha256(text.replace(own[1], "0" * 64).encode()).hexdigest() == own[1]
    runs = re.findall(r'chksum="([0-9a-f]{64})"> (\d+)(?:-(\d+))? <', text)
    assert [(int(first), int(last or first)) for _, first, last in runs] == needed(disk)
    for digest, first, last in runs:
        piece = content[int(first) * BLOCK : (int(last or first) + 1) * BLOCK]
        assert hashlib.sha256(piece).hexdigest() == digest

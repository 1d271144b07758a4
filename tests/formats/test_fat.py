"""The FAT reader against what mkfs.fat and mtools wrote."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from os_image_composer.formats.fat import Fat
from os_image_composer.formats.filesystem import NodeKind, read_file, walk
from os_image_composer.formats.window import FileSource, FormatError, Window
from support.small_images import fat_image, made


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("fat") / "files"
    (root / "EFI" / "BOOT").mkdir(parents=True)
    (root / "EFI" / "Linux").mkdir()
    (root / "EFI" / "BOOT" / "BOOTX64.EFI").write_bytes(b"MZ" * 5000)
    (root / "EFI" / "Linux" / "a long name with ümlauts and more than 26 letters.efi").write_bytes(b"k" * 70_000)
    (root / "EFI" / "Linux" / "empty.conf").write_bytes(b"")
    (root / "lower.txt").write_bytes(b"lower")
    (root / "many").mkdir()
    for number in range(120):
        (root / "many" / f"file number {number}").write_bytes(b"%d" % number)
    return root


@pytest.fixture(params=[12, 16, 32], scope="module")
def image(request: pytest.FixtureRequest, files: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fat_image(tmp_path_factory.mktemp("fat") / f"{request.param}.img", request.param, files)


def test_every_file_is_there_with_its_name_and_content(image: Path, files: Path) -> None:
    with FileSource(image) as source:
        filesystem = Fat(Window.over(source))
        found = dict(walk(filesystem))
        assert set(found) == {str(p.relative_to(files)) for p in files.rglob("*")}
        for name, node in found.items():
            if node.kind is NodeKind.FILE:
                assert filesystem.content(node).read(0, node.size) == (files / name).read_bytes(), name


def test_names_equal_mdir(image: Path) -> None:
    listing = made("mdir", "-i", str(image), "-b", "-/", "::").stdout.decode()
    shown = {line.removeprefix("::/").rstrip("/") for line in listing.splitlines()}
    with FileSource(image) as source:
        assert {name for name, _ in walk(Fat(Window.over(source)))} == shown


def test_volume_is_as_blkid_sees_it_and_used_as_fsck_counts_it(image: Path) -> None:
    with FileSource(image) as source:
        volume = Fat(Window.over(source)).volume
    fields = dict(
        line.split("=", 1) for line in made("blkid", "-p", "-o", "export", str(image)).stdout.decode().splitlines()
    )
    assert (volume.kind, volume.uuid, volume.label) == ("vfat", fields["UUID"], "SAMPLE")
    assert volume.features == (fields["VERSION"].lower(),)
    counted = re.search(rb"(\d+)/\d+ clusters", made("fsck.fat", "-n", str(image)).stdout)
    assert counted and volume.used is not None and volume.block_size
    assert volume.used // volume.block_size == int(counted[1])


def test_paths_are_found_whatever_their_case(image: Path) -> None:
    with FileSource(image) as source:
        filesystem = Fat(Window.over(source))
        assert read_file(filesystem, "/efi/boot/bootx64.efi", 1 << 20) == b"MZ" * 5000
        assert read_file(filesystem, "/LOWER.TXT", 100) == b"lower"
        assert filesystem.find("/EFI/none") is None


def test_chain_that_leads_back_to_itself_ends_in_an_error(files: Path, tmp_path: Path) -> None:
    image = fat_image(tmp_path / "x.img", 16, files)
    data = bytearray(image.read_bytes())
    reserved = int.from_bytes(data[14:16], "little") * 512
    with FileSource(image) as source:
        node = Fat(Window.over(source)).find("/EFI/Linux/a long name with ümlauts and more than 26 letters.efi")
    assert node
    for fat in (reserved, reserved + int.from_bytes(data[22:24], "little") * 512):
        data[fat + node.number * 2 : fat + node.number * 2 + 2] = node.number.to_bytes(2, "little")
    looped = Fat(Window.of(bytes(data)))
    content = looped.content(node)
    assert content.size == node.size  # of its own length, whatever the chain says
    many = looped.find("/many")
    assert many
    for fat in (reserved, reserved + int.from_bytes(data[22:24], "little") * 512):
        data[fat + many.number * 2 : fat + many.number * 2 + 2] = many.number.to_bytes(2, "little")
    with pytest.raises(FormatError, match=r"no end|more than"):
        dict(walk(Fat(Window.of(bytes(data)))))

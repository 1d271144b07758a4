"""The digest in a medium, and the script that a live system checks it with."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from os_image_composer.errors import StepError
from os_image_composer.formats.iso9660 import read_medium
from os_image_composer.formats.window import FileSource, Window
from os_image_composer.image.medium_digest import FIELD, START, implant_digest
from support.small_medium import disk, medium

CHECK = Path(__file__).parents[2] / "config/osv/live/dracut/live-check.sh"
SIZE = 3 << 20
END = 2 << 20


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """An MBR with a partition from 32 KiB to `END`, a medium's descriptors, and something behind them."""
    data = bytearray(disk(medium()).ljust(SIZE, b"\x5a"))
    data[446:462] = b"\0\0\0\0\x83\0\0\0" + (64).to_bytes(4, "little") + ((END >> 9) - 64).to_bytes(4, "little")
    data[510:512] = b"\x55\xaa"
    path = tmp_path / "medium.iso"
    path.write_bytes(data)
    return path


def check(image: Path) -> tuple[int, str]:
    done = subprocess.run(["sh", str(CHECK), str(image)], capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout.splitlines()[-1]


def flip(image: Path, offset: int) -> None:
    data = bytearray(image.read_bytes())
    data[offset] ^= 0x10
    image.write_bytes(data)


def test_script_and_build_agree_on_a_whole_medium(image: Path) -> None:
    implant_digest(image)
    assert check(image) == (0, "the medium is whole")
    with FileSource(image) as source:
        found = read_medium(Window.over(source))
    assert found is not None
    assert found.digest is not None
    assert found.digest.split()[::2] == ["SHA-256", str(END)]


@pytest.mark.parametrize("offset", [START, FIELD - 1, FIELD + 512, FIELD + 4000, 1 << 20, END - 1])
def test_a_changed_byte_is_found(image: Path, offset: int) -> None:
    implant_digest(image)
    flip(image, offset)
    assert check(image) == (1, "this medium is damaged: write it once more, or use another one")


@pytest.mark.parametrize("offset", [FIELD, FIELD + 7, FIELD + 20, FIELD + 73, FIELD + 74])
def test_a_changed_digest_is_found(image: Path, offset: int) -> None:
    implant_digest(image)
    flip(image, offset)
    assert check(image)[0] == 1


@pytest.mark.parametrize("offset", [100, 440, START - 1, END, SIZE - 1])
def test_partition_tables_and_what_is_behind_the_partitions_may_change(image: Path, offset: int) -> None:
    implant_digest(image)
    flip(image, offset)
    assert check(image) == (0, "the medium is whole")


def test_a_medium_without_digest_is_said_to_have_none(image: Path) -> None:
    assert check(image) == (1, "this medium has no digest: it is damaged, or another program made it")


def test_what_is_no_medium_gets_no_digest(image: Path) -> None:
    flip(image, START + 2)
    with pytest.raises(StepError, match="primary volume descriptor"):
        implant_digest(image)
    image.write_bytes(disk(medium()))
    with pytest.raises(StepError, match="no partitions"):
        implant_digest(image)

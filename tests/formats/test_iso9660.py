from __future__ import annotations

import random

import pytest

from os_image_composer.formats.iso9660 import SECTOR, BootEntry, find_file, read_medium
from os_image_composer.formats.window import FormatError, Window
from support.small_medium import disk, medium, with_files


def test_label_size_digest_and_what_each_firmware_starts_are_read() -> None:
    found = read_medium(Window.of(disk(medium("SMALL_1", b"SHA-256 ab 12"))))
    assert found is not None
    assert (found.label, found.size, found.digest) == ("SMALL_1", 20 * SECTOR, "SHA-256 ab 12")
    assert found.entries == (BootEntry("bios", True, 63 * SECTOR, 2048), BootEntry("uefi", True, 1582 * SECTOR, 0))


def test_what_has_no_volume_descriptor_is_no_medium() -> None:
    assert read_medium(Window.of(bytes(100))) is None
    assert read_medium(Window.of(bytes(100_000))) is None


@pytest.mark.parametrize(("offset", "value"), [(3 * SECTOR, 2), (3 * SECTOR + 30, 0), (3 * SECTOR + 5, 1)])
def test_a_damaged_boot_catalog_is_an_error(offset: int, value: int) -> None:
    damaged = bytearray(medium())
    damaged[offset] = value
    with pytest.raises(FormatError, match="boot catalog"):
        read_medium(Window.of(disk(bytes(damaged))))


def test_a_catalog_outside_of_the_file_is_an_error() -> None:
    with pytest.raises(FormatError):
        read_medium(Window.of(disk(medium()[: 3 * SECTOR])))


FILES = {**{f"file_{n}.bin": b"%d" % n for n in range(80)}, "root.squashfs": b"r" * 5000, "empty": b""}


def test_a_file_of_a_medium_is_found_by_its_path() -> None:
    whole = Window.of(with_files(FILES))
    for name, content in FILES.items():
        found = find_file(whole, f"live/{name}")
        assert found is not None, name
        assert found.read(0, found.size) == content
    for path in ("live", "root.squashfs", "live/root", "live/root.squashfs/more", "elsewhere/empty", "", "live/"):
        assert find_file(whole, path) is None, path


def test_a_medium_without_files_has_none() -> None:
    with pytest.raises(FormatError):
        find_file(Window.of(bytes(100_000)), "live/root.squashfs")


def test_damage_to_a_mediums_folders_is_an_error_or_another_file_and_nothing_else() -> None:
    whole, spoilt = with_files(FILES), random.Random(7)
    told = 0
    for _ in range(300):
        damaged = bytearray(whole)
        for _ in range(200):
            damaged[spoilt.randrange(16 * SECTOR, 24 * SECTOR)] = spoilt.randrange(256)
        try:
            found = find_file(Window.of(bytes(damaged)), "live/root.squashfs")
            assert found is None or found.size < len(whole)
        except FormatError:
            told += 1
    assert told

from __future__ import annotations

import pytest

from os_image_composer.formats.iso9660 import SECTOR, BootEntry, read_medium
from os_image_composer.formats.window import FormatError, Window
from support.small_medium import disk, medium


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

from __future__ import annotations

import pytest

from os_image_composer.config.sizes import format_size, parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("4096", 4096),
        (4096, 4096),
        ("1KiB", 1024),
        ("512MiB", 512 * 1024**2),
        ("512 MiB", 512 * 1024**2),
        ("4GiB", 4 * 1024**3),
        ("1TiB", 1024**4),
        ("4M", 4 * 1024**2),
        ("4G", 4 * 1024**3),
        ("4MB", 4_000_000),
        ("4GB", 4_000_000_000),
    ],
)
def test_sizes_are_read_as_bytes(text: str | int, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "GiB", "-1GiB", "1.5GiB", "1 0GiB", "1gib", "1  GiB", "0x10", True, "9" * 30])
def test_what_is_not_a_size_is_refused(text: str | bool) -> None:
    with pytest.raises(ValueError, match=r"size|unit|disk"):
        parse_size(text)


@pytest.mark.parametrize("size", [0, 1, 1023, 1024, 1025, 10 * 1024**2, 3 * 1024**3, 5 * 1024**4])
def test_a_size_survives_being_written_and_read(size: int) -> None:
    assert parse_size(format_size(size)) == size

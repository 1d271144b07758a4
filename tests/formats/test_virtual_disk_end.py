"""A file of a hypervisor's format that was cut off. Those that qemu-img writes are in `tests/e2e/test_convert.py`."""

from __future__ import annotations

import struct

import pytest

from os_image_composer.formats.virtual_disk import recognise
from os_image_composer.formats.virtual_disk_end import check_end
from os_image_composer.formats.window import FormatError, Window
from support.virtual_disks import BLOCK, filled

WAYS = [("qcow2", False), ("qcow2", True), ("vmdk", False), ("vmdk", True), ("vdi", False), ("vhdx", False)]


def check(data: bytes) -> None:
    disk = recognise(Window.of(data))
    assert disk is not None
    check_end(Window.of(data), disk)


@pytest.mark.parametrize(("form", "packed"), WAYS)
def test_a_file_is_whole_to_the_last_byte_and_not_without_it(form: str, packed: bool) -> None:
    data = filled(form, packed=packed)
    check(data)
    check(data + bytes(700))
    with pytest.raises(FormatError, match=f"has {len(data) - 1} bytes; .* ends at {len(data)}$"):
        check(data[:-1])


@pytest.mark.parametrize(("form", "packed"), WAYS)
def test_a_file_that_ends_anywhere_is_refused(form: str, packed: bool) -> None:
    data = filled(form, packed=packed)
    step = max(len(data) // 200, 97)
    for size in range(BLOCK, len(data), step):
        with pytest.raises(FormatError):
            check(data[:size])


def test_a_vhd_that_lost_a_block_and_has_its_footer_is_refused() -> None:
    data = filled("vhd")
    check(data)
    with pytest.raises(FormatError, match="ends at"):
        check(data[: -2 * BLOCK] + data[-BLOCK:])


@pytest.mark.parametrize(("form", "place", "size"), [("qcow2", 24, ">Q"), ("vdi", 368, "<Q")])
def test_of_the_last_block_a_file_needs_what_the_disk_has(form: str, place: int, size: str) -> None:
    data = bytearray(filled(form))
    struct.pack_into(size, data, place, 2 * BLOCK - 200)
    check(bytes(data[:-200]))
    with pytest.raises(FormatError, match="ends at"):
        check(bytes(data[:-201]))


def test_a_stream_without_its_footer_is_refused() -> None:
    """Its header says that the place of the directory stands at the end only."""
    data = bytearray(filled("vmdk", packed=True))
    struct.pack_into("<Q", data, 56, (1 << 64) - 1)
    with pytest.raises(FormatError, match="footer"):
        check(bytes(data))
    footer = filled("vmdk", packed=True)[:BLOCK]
    padded = bytes(data).ljust(7 * BLOCK, b"\0")
    check(padded + footer + bytes(BLOCK))


@pytest.mark.parametrize(
    ("form", "place", "value"),
    [
        ("qcow2", 20, b"\0\0\0\x40"),
        ("qcow2", 36, b"\xff\xff\xff\xff"),
        ("vmdk", 20, bytes(8)),
        ("vmdk", 44, bytes(4)),
        ("vdi", 376, bytes(4)),
        ("vdi", 384, b"\xff\xff\xff\xff"),
        ("vhd", 512 + 32, bytes(4)),
        ("vhd", 512, b"x"),
        ("vhdx", (2 << 20) + (64 << 10), bytes(4)),
    ],
)
def test_tables_that_cannot_be_are_refused(form: str, place: int, value: bytes) -> None:
    data = bytearray(filled(form))
    data[place : place + len(value)] = value
    with pytest.raises(FormatError):
        check(bytes(data))

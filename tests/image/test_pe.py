"""The checker of unified kernel images, on images made here byte by byte."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from os_image_composer.errors import StepError
from os_image_composer.image.pe import check_uki, content, parse_pe, room_of

KERNEL = b"\x7fkernel" * 100
SECTIONS = {
    ".sbat": b"sbat,1\n",
    ".osrel": b"ID=test\n",
    ".cmdline": b"root=UUID=1 quiet\0",
    ".uname": b"6.12.0",
    ".initrd": b"initrd" * 50,
    ".linux": KERNEL,
}


def uki(sections: dict[str, bytes], move: Callable[[str, int], int] = lambda name, address: address) -> bytes:
    """A PE32+ file with `sections` one after the other; `move` may misplace one in memory."""
    count, align = len(sections), 0x1000
    table_at = 0x40 + 24 + 112
    offset = (table_at + 40 * count + 511) // 512 * 512
    rows, body, address = b"", b"", align
    for name, data in sections.items():
        padded = data + bytes(-len(data) % 512)
        where = move(name, address)
        rows += struct.pack("<8sIIII16x", name.encode(), len(data), where, len(padded), offset + len(body))
        body += padded
        address += -(-len(data) // align) * align
    optional = struct.pack("<H30xI20xI", 0x20B, align, address).ljust(112, b"\0")
    dos = b"MZ".ljust(0x3C, b"\0") + struct.pack("<I", 0x40)
    coff = b"PE\0\0" + struct.pack("<HH12xH2x", 0x8664, count, len(optional))
    return (dos + coff + optional + rows).ljust(offset, b"\0") + body


def checked(tmp_path: Path, data: bytes, stub: bytes = uki({".sbat": b"sbat,1\n"})) -> None:
    for name, bytes_ in (("kernel", KERNEL), ("uki.efi", data), ("stub", stub)):
        (tmp_path / name).write_bytes(bytes_)
    check_uki(tmp_path / "uki.efi", tmp_path / "kernel", tmp_path / "stub")


def test_well_formed_image_passes_and_its_sections_are_read(tmp_path: Path) -> None:
    data = uki(SECTIONS)
    checked(tmp_path, data)
    image = parse_pe(data)
    assert [s.name for s in image.sections] == list(SECTIONS)
    assert content(image, data, ".cmdline") == b"root=UUID=1 quiet\0"


@pytest.mark.parametrize(
    ("fault", "data"),
    [
        (".linux is not the package's kernel", uki({**SECTIONS, ".linux": KERNEL[:-1] + b"x"})),
        ("overlaps", uki(SECTIONS, lambda name, address: address - 0x1000 if name == ".initrd" else address)),
        ("not aligned", uki(SECTIONS, lambda name, address: address + 8 if name == ".linux" else address)),
        ("outside SizeOfImage", uki(SECTIONS, lambda n, address: address + 0x9000 if n == ".linux" else address)),
        ("cut off", uki(SECTIONS)[:-600]),
        ("no section .uname", uki({k: v for k, v in SECTIONS.items() if k != ".uname"})),
        (".osrel is empty", uki({**SECTIONS, ".osrel": b""})),
        ("NUL inside", uki({**SECTIONS, ".cmdline": b"root=1\0rest\0"})),
        ("no DOS header", b"#!/bin/sh\n"),
        ("cut off in the headers", uki(SECTIONS)[:0x50]),
    ],
)
def test_image_that_would_not_boot_is_refused(tmp_path: Path, fault: str, data: bytes) -> None:
    with pytest.raises(StepError) as caught:
        checked(tmp_path, data)
    assert caught.value.reference == "uki-malformed"
    assert fault in (caught.value.cause or "")


def test_section_that_the_stub_itself_has_unaligned_is_left_to_the_stub(tmp_path: Path) -> None:
    def crowd(name: str, address: int) -> int:
        return 0x1100 if name == ".sdmagic" else address

    stub = uki({".sbat": b"sbat,1\n", ".sdmagic": b"magic"}, crowd)
    with_magic = {".sbat": SECTIONS[".sbat"], ".sdmagic": b"magic", **SECTIONS}
    checked(tmp_path, uki(with_magic, crowd), stub)
    with pytest.raises(StepError):
        checked(tmp_path, uki(with_magic, crowd))


def test_room_of_a_section_ends_where_the_next_begins_in_memory() -> None:
    crowded = uki({".sbat": b"sbat,1\n", ".sdmagic": b"m"}, lambda name, a: 0x1100 if name == ".sdmagic" else a)
    assert room_of(parse_pe(crowded), ".sbat") == 0x100
    assert room_of(parse_pe(uki(SECTIONS)), ".sbat") == 512

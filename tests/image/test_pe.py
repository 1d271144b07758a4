"""The checker of unified kernel images, on images made here byte by byte."""

from __future__ import annotations

from pathlib import Path

import pytest

from os_image_composer.errors import StepError
from os_image_composer.formats.pe import content, parse_pe, room_of
from os_image_composer.formats.window import Window
from os_image_composer.image.pe import check_uki
from support.efi_programs import efi_program

KERNEL = b"\x7fkernel" * 100
SECTIONS = {
    ".sbat": b"sbat,1\n",
    ".osrel": b"ID=test\n",
    ".cmdline": b"root=UUID=1 quiet\0",
    ".uname": b"6.12.0",
    ".initrd": b"initrd" * 50,
    ".linux": KERNEL,
}


def checked(tmp_path: Path, data: bytes, stub: bytes = efi_program({".sbat": b"sbat,1\n"})) -> None:
    for name, bytes_ in (("kernel", KERNEL), ("uki.efi", data), ("stub", stub)):
        (tmp_path / name).write_bytes(bytes_)
    check_uki(tmp_path / "uki.efi", tmp_path / "kernel", tmp_path / "stub")


def test_well_formed_image_passes_and_its_sections_are_read(tmp_path: Path) -> None:
    data = efi_program(SECTIONS)
    checked(tmp_path, data)
    image = parse_pe(Window.of(data))
    assert [s.name for s in image.sections] == list(SECTIONS)
    assert content(image, Window.of(data), ".cmdline") == b"root=UUID=1 quiet\0"


@pytest.mark.parametrize(
    ("fault", "data"),
    [
        (".linux is not the package's kernel", efi_program({**SECTIONS, ".linux": KERNEL[:-1] + b"x"})),
        ("overlaps", efi_program(SECTIONS, lambda name, address: address - 0x1000 if name == ".initrd" else address)),
        ("not aligned", efi_program(SECTIONS, lambda name, address: address + 8 if name == ".linux" else address)),
        (
            "outside SizeOfImage",
            efi_program(SECTIONS, lambda n, at: at + 0x9000 if n == ".linux" else at),
        ),
        ("cut off", efi_program(SECTIONS)[:-600]),
        ("no section .uname", efi_program({k: v for k, v in SECTIONS.items() if k != ".uname"})),
        (".osrel is empty", efi_program({**SECTIONS, ".osrel": b""})),
        ("NUL inside", efi_program({**SECTIONS, ".cmdline": b"root=1\0rest\0"})),
        ("no DOS header", b"#!/bin/sh\n"),
        ("cut off in the headers", efi_program(SECTIONS)[:0x50]),
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

    stub = efi_program({".sbat": b"sbat,1\n", ".sdmagic": b"magic"}, crowd)
    with_magic = {".sbat": SECTIONS[".sbat"], ".sdmagic": b"magic", **SECTIONS}
    checked(tmp_path, efi_program(with_magic, crowd), stub)
    with pytest.raises(StepError):
        checked(tmp_path, efi_program(with_magic, crowd))


def test_room_of_a_section_ends_where_the_next_begins_in_memory() -> None:
    crowded = efi_program({".sbat": b"sbat,1\n", ".sdmagic": b"m"}, lambda name, a: 0x1100 if name == ".sdmagic" else a)
    assert room_of(parse_pe(Window.of(crowded)), ".sbat") == 0x100
    assert room_of(parse_pe(Window.of(efi_program(SECTIONS))), ".sbat") == 512

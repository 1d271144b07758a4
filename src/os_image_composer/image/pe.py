"""What is in a unified kernel image, read and checked without any tool.

Sources: Microsoft PE/COFF specification (headers, section table); UAPI Group specification "Unified Kernel Image"
(sections). Offsets and sizes are bytes.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

from os_image_composer.errors import StepError

_PE32_PLUS = 0x20B


@dataclass(frozen=True)
class Section:
    """`address` and `size` as loaded into memory, `offset` and `stored` as they lie in the file."""

    name: str
    address: int
    size: int
    offset: int
    stored: int


@dataclass(frozen=True)
class PeImage:
    size_of_image: int
    section_alignment: int
    sections: tuple[Section, ...]

    def section(self, name: str) -> Section:
        for section in self.sections:
            if section.name == name:
                return section
        raise ValueError(f"no section {name}")


def parse_pe(data: bytes) -> PeImage:
    """The headers of a PE32+ image. Raises ValueError when `data` is none."""
    try:
        if data[:2] != b"MZ":
            raise ValueError("no DOS header")
        (start,) = struct.unpack_from("<I", data, 0x3C)
        if data[start : start + 4] != b"PE\0\0":
            raise ValueError("no PE signature")
        count, optional_size = struct.unpack_from("<2xH12xH", data, start + 4)
        optional = start + 24
        magic, alignment, image_size = struct.unpack_from("<H30xI20xI", data, optional)
        if magic != _PE32_PLUS:
            raise ValueError("not a PE32+ image")
        table = optional + optional_size
        return PeImage(image_size, alignment, tuple(_section(data, table + 40 * n) for n in range(count)))
    except struct.error as error:
        raise ValueError("cut off in the headers") from error


def check_uki(path: Path, kernel: Path, stub: Path) -> PeImage:
    """What a firmware and a stub rely on: sections in rising order that do not overlap, aligned and inside
    SizeOfImage; the sections of a UKI are there; `.linux` is the package's kernel byte for byte; `.cmdline` ends
    with NUL or at the section's end. Where the stub has put its own sections is the distribution's affair: systemd
    252 leaves `.sdmagic` unaligned. Raises StepError `uki-malformed`."""
    data = path.read_bytes()
    try:
        image = parse_pe(data)
        own = {(section.name, section.address) for section in parse_pe(stub.read_bytes()).sections}
        faults = [*_faults(image, len(data), own), *_content_faults(image, data, kernel.read_bytes())]
    except ValueError as error:
        raise StepError("uki-malformed", f"{path.name} is no unified kernel image", cause=str(error)) from error
    if faults:
        raise StepError("uki-malformed", f"{path.name} would not boot", cause="; ".join(faults))
    return image


def content(image: PeImage, data: bytes, name: str) -> bytes:
    """The bytes of a section, without the padding of the file."""
    section = image.section(name)
    return data[section.offset : section.offset + min(section.size, section.stored)]


def _faults(image: PeImage, length: int, of_stub: set[tuple[str, int]]) -> list[str]:
    faults = []
    end = 0
    for section in image.sections:
        if section.address < end:
            faults.append(f"{section.name} overlaps the section before it")
        if section.address % image.section_alignment and (section.name, section.address) not in of_stub:
            faults.append(f"{section.name} is not aligned to {image.section_alignment}")
        if section.address + section.size > image.size_of_image:
            faults.append(f"{section.name} lies outside SizeOfImage")
        if section.offset + section.stored > length:
            faults.append(f"{section.name} is cut off")
        end = section.address + section.size
    return faults


def _content_faults(image: PeImage, data: bytes, kernel: bytes) -> list[str]:
    faults = []
    if content(image, data, ".linux") != kernel:
        faults.append(".linux is not the package's kernel")
    cmdline = content(image, data, ".cmdline").rstrip(b"\0")
    if b"\0" in cmdline:
        faults.append(".cmdline has a NUL inside")
    needed = (".osrel", ".uname", ".initrd", ".sbat")
    return [*faults, *(f"{name} is empty" for name in needed if not image.section(name).size)]


def room_of(image: PeImage, name: str) -> int:
    """How many bytes a section can hold where it lies: as many as the file stores of it, and none of the section
    that follows it in memory. Raises ValueError when there is no such section."""
    section = image.section(name)
    after = [other.address for other in image.sections if other.address > section.address]
    return min([section.stored, *(address - section.address for address in after)])


def _section(data: bytes, start: int) -> Section:
    name, size, address, stored, offset = struct.unpack_from("<8sIIII", data, start)
    return Section(name.rstrip(b"\0").decode("ascii", "replace"), address, size, offset, stored)

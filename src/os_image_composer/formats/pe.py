"""EFI programs: PE32+ headers, sections and the certificate table.

Source: Microsoft "PE Format" (headers, section table, attribute certificate table). Offsets and sizes are bytes.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from os_image_composer.formats.window import FormatError, Window

_PE32_PLUS = 0x20B
_MAX_SECTIONS = 96
_MAX_CERTIFICATES = 32
_CERTIFICATE_DIRECTORY = 4
_MACHINES = {0x8664: "x86_64", 0xAA64: "aarch64", 0x14C: "i386", 0x1C2: "arm", 0x5064: "riscv64"}


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
    """`machine` as uname(1) names it; `certificates` are the PKCS #7 blobs of the certificate table. `headers` is
    SizeOfHeaders, `checksum_at` and `table_at` are where in the file the checksum and the certificate table's entry in
    the data directory stand; `table_at` is 0 where the directory has no such entry. `table` is that entry: where the
    certificate table lies in the file, and its size."""

    machine: str
    size_of_image: int
    section_alignment: int
    sections: tuple[Section, ...]
    certificates: tuple[bytes, ...] = ()
    headers: int = 0
    checksum_at: int = 0
    table_at: int = 0
    table: tuple[int, int] = (0, 0)

    def section(self, name: str) -> Section:
        """Raises FormatError where there is none."""
        for section in self.sections:
            if section.name == name:
                return section
        raise FormatError(f"no section {name}")

    def has(self, name: str) -> bool:
        return any(section.name == name for section in self.sections)


def parse_pe(file: Window) -> PeImage:
    """The headers of a PE32+ image. Raises FormatError when `file` is none."""
    try:
        if file.head(2) != b"MZ":
            raise FormatError("no DOS header")
        (start,) = struct.unpack("<I", file.head(4, 0x3C))
        coff = file.head(24, start)
        if coff[:4] != b"PE\0\0":
            raise FormatError("no PE signature")
        machine, count, optional_size = struct.unpack_from("<HH12xH", coff, 4)
        optional = file.head(optional_size, start + 24)
        magic, alignment, image_size, headers = struct.unpack_from("<H30xI20xII", optional)
        if magic != _PE32_PLUS:
            raise FormatError("not a PE32+ image")
        if count > _MAX_SECTIONS or not alignment:
            raise FormatError(f"{count} sections, aligned to {alignment}")
        table = file.head(40 * count, start + 24 + optional_size)
        sections = tuple(_section(table, 40 * n) for n in range(count))
    except struct.error as error:
        raise FormatError("cut off in the headers") from error
    name = _MACHINES.get(machine, f"0x{machine:04x}")
    entry = _table_entry(optional)
    # Of all directories this one alone holds an offset in the file, not an address.
    offset, size = struct.unpack_from("<II", optional, entry) if entry else (0, 0)
    return PeImage(
        machine=name,
        size_of_image=image_size,
        section_alignment=alignment,
        sections=sections,
        certificates=_certificates(file, offset, size),
        headers=headers,
        checksum_at=start + 24 + 64,
        table_at=start + 24 + entry if entry else 0,
        table=(offset, size) if size else (0, 0),
    )


def content(image: PeImage, file: Window, name: str) -> bytes:
    """The bytes of a section, without the padding of the file. Raises FormatError."""
    return section_window(image, file, name).read(0, section_window(image, file, name).size)


def section_window(image: PeImage, file: Window, name: str) -> Window:
    """The same, not read yet; what is cut off at the file's end is left out."""
    section = image.section(name)
    size = min(section.size, section.stored, max(file.size - section.offset, 0))
    return file.part(min(section.offset, file.size), size)


def room_of(image: PeImage, name: str) -> int:
    """How many bytes a section can hold where it lies: as many as the file stores of it, and none of the section
    that follows it in memory. Raises FormatError when there is no such section."""
    section = image.section(name)
    after = [other.address for other in image.sections if other.address > section.address]
    return min([section.stored, *(address - section.address for address in after)])


def _section(data: bytes, start: int) -> Section:
    name, size, address, stored, offset = struct.unpack_from("<8sIIII", data, start)
    return Section(name.rstrip(b"\0").decode("ascii", "replace"), address, size, offset, stored)


def _table_entry(optional: bytes) -> int:
    """Where in the optional header the certificate table's directory entry stands; 0 where there is none."""
    entry = 112 + 8 * _CERTIFICATE_DIRECTORY
    if len(optional) < entry + 8:
        return 0
    (directories,) = struct.unpack_from("<I", optional, 108)
    return entry if directories > _CERTIFICATE_DIRECTORY else 0


def _certificates(file: Window, offset: int, size: int) -> tuple[bytes, ...]:
    """WIN_CERTIFICATE structures of type PKCS_SIGNED_DATA. Raises FormatError where the table does not fit the file."""
    if not size:
        return ()
    table = file.part(offset, size).read(0, size) if size <= 1 << 20 else b""
    found: list[bytes] = []
    at = 0
    while at + 8 <= len(table) and len(found) < _MAX_CERTIFICATES:
        length, _, kind = struct.unpack_from("<IHH", table, at)
        if length < 8 or at + length > len(table):
            raise FormatError("the certificate table is damaged")
        if kind == 2:
            found.append(table[at + 8 : at + length])
        at += (length + 7) // 8 * 8
    return tuple(found)

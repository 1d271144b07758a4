"""What an EFI program is, and what it says about itself."""

from __future__ import annotations

import hashlib
import re

from os_image_composer.formats.pe import PeImage, Section, content, parse_pe, section_window
from os_image_composer.formats.window import Window
from os_image_composer.report.image_file import EfiProgram, ProgramSignature, SectionInfo
from os_image_composer.report.program_signatures import program_signatures

# Sections of a UKI that are text (UAPI Group specification "Unified Kernel Image").
_TEXT = (".cmdline", ".osrel", ".uname", ".profile")
_MAX_TEXT = 64 << 10
_MAX_MAGIC = 64 << 10
# systemd-boot and its stub write `#### LoaderInfo: systemd-boot 257.9-1 ####` into a section of their own.
_LOADER = re.compile(rb"#### LoaderInfo: (systemd-(?:boot|stub)) (\S+) ####")
# First component of .sbat after the line for SBAT itself (UEFI shim, SBAT.md).
_BY_SBAT = {"shim": "shim", "grub": "grub", "systemd-boot": "systemd-boot", "mokmanager": "mok-manager"}


def efi_program(path: str, file: Window) -> EfiProgram:
    """Raises FormatError where `file` is no EFI program."""
    image = parse_pe(file)
    sbat = _sbat(image, file)
    kind, version = _kind(image, file, sbat, path)
    return EfiProgram(
        path=path,
        kind=kind,
        version=version,
        machine=image.machine,
        size=file.size,
        sha256=digest(file),
        sections=tuple(
            SectionInfo(s.name, s.size, digest(section_window(image, file, s.name))) for s in _first_of_each(image)
        ),
        signatures=tuple(ProgramSignature(s.name, s.fault) for s in program_signatures(image, file)),
        sbat=sbat,
        text={name: _text(image, file, name) for name in _TEXT if image.has(name)} if kind == "uki" else {},
    )


def digest(window: Window) -> str:
    """Hex SHA-256."""
    total = hashlib.sha256()
    for block in window.blocks():
        total.update(block)
    return total.hexdigest()


def _first_of_each(image: PeImage) -> list[Section]:
    return list({section.name: section for section in reversed(image.sections)}.values())[::-1]


def _sbat(image: PeImage, file: Window) -> tuple[str, ...]:
    if not image.has(".sbat"):
        return ()
    window = section_window(image, file, ".sbat")
    lines = window.head(_MAX_TEXT).rstrip(b"\0").decode("utf-8", "replace").splitlines()
    return tuple(line for line in lines if line.strip())


def _kind(image: PeImage, file: Window, sbat: tuple[str, ...], path: str) -> tuple[str, str | None]:
    if image.has(".linux"):
        return "uki", _text(image, file, ".uname") or None if image.has(".uname") else None
    for name in (".sdmagic", ".rodata", ".data"):
        if image.has(name):
            found = _LOADER.search(section_window(image, file, name).head(_MAX_MAGIC))
            if found:
                return found[1].decode(), found[2].decode("ascii", "replace")
    for line in sbat:
        component, _, rest = line.partition(",")
        for prefix, kind in _BY_SBAT.items():
            if component.lower().startswith(prefix):
                # Fields: generation, vendor, package, version, address.
                fields = rest.split(",")
                return kind, fields[3] if len(fields) > 3 else None
    # The signature of the x86 boot protocol; elsewhere `ARM\x64` and the like at 56 (Linux, Documentation/arch).
    if file.head(4, 0x202) == b"HdrS" or file.head(4, 56) in (b"ARM\x64", b"RSC\x05"):
        return "linux", None
    return ("mok-manager" if "/mm" in path.lower() else "unknown"), None


def _text(image: PeImage, file: Window, name: str) -> str:
    data = content(image, file, name) if image.section(name).size <= _MAX_TEXT else b"(too long to show)"
    return data.rstrip(b"\0\n").decode("utf-8", "replace")

"""Whether a unified kernel image would boot, checked without any tool.

Source: UAPI Group specification "Unified Kernel Image" (sections).
"""

from __future__ import annotations

from pathlib import Path

from os_image_composer.errors import StepError
from os_image_composer.formats.pe import PeImage, content, parse_pe
from os_image_composer.formats.window import FormatError, Window


def check_uki(path: Path, kernel: Path, stub: Path) -> PeImage:
    """What a firmware and a stub rely on: sections in rising order that do not overlap, aligned and inside
    SizeOfImage; the sections of a UKI are there; `.linux` is the package's kernel byte for byte; `.cmdline` ends
    with NUL or at the section's end. Where the stub has put its own sections is the distribution's affair: systemd
    252 leaves `.sdmagic` unaligned. Raises StepError `uki-malformed`."""
    file = Window.of(path.read_bytes())
    try:
        image = parse_pe(file)
        own = {(section.name, section.address) for section in parse_pe(Window.of(stub.read_bytes())).sections}
        faults = [*_faults(image, file.size, own), *_content_faults(image, file, kernel.read_bytes())]
    except FormatError as error:
        raise StepError("uki-malformed", f"{path.name} is no unified kernel image", cause=str(error)) from error
    if faults:
        raise StepError("uki-malformed", f"{path.name} would not boot", cause="; ".join(faults))
    return image


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


def _content_faults(image: PeImage, file: Window, kernel: bytes) -> list[str]:
    faults = []
    if content(image, file, ".linux") != kernel:
        faults.append(".linux is not the package's kernel")
    cmdline = content(image, file, ".cmdline").rstrip(b"\0")
    if b"\0" in cmdline:
        faults.append(".cmdline has a NUL inside")
    needed = (".osrel", ".uname", ".initrd", ".sbat")
    return [*faults, *(f"{name} is empty" for name in needed if not image.section(name).size)]

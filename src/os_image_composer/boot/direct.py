"""An initrd image with its kernel, which QEMU starts without any firmware's help."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from os_image_composer.errors import BootError
from os_image_composer.formats.initrd_archive import memory_for, read_initrd_archive

_USUAL = "console=ttyS0"


@dataclass(frozen=True)
class DirectBoot:
    """`memory` (MiB) is the least that the system takes; None where that is not known."""

    kernel: Path
    initrd: Path
    cmdline: str
    memory: int | None


def direct_boot(image: Path) -> DirectBoot | None:
    """What a build left beside an initrd image: its kernel, and the command line that its iPXE script has. None where
    `image` is no initrd. Raises BootError where the kernel is missing."""
    try:
        archive = read_initrd_archive(image) if image.is_file() else None
    except OSError:
        return None  # who looks at the file as a disk says what is wrong with it
    if archive is None:
        return None
    kernel = image.with_name(f"{image.stem}.vmlinuz")
    if not kernel.is_file():
        raise BootError(
            "boot-kernel-missing",
            f"{image} is an initrd, and its kernel is not beside it",
            cause=f"there is no {kernel.name}",
            hint="keep the files of a build together",
        )
    memory = memory_for(archive.unpacked) if archive.unpacked else None
    return DirectBoot(kernel.resolve(), image.resolve(), _command_line(image), memory)


def _command_line(image: Path) -> str:
    try:
        lines = image.with_name(f"{image.stem}.ipxe").read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return _USUAL
    for line in lines:
        words = line.split()
        if words[:1] == ["kernel"]:
            return " ".join(word for word in words[2:] if not word.startswith("initrd="))
    return _USUAL

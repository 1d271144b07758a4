"""The sample template built with keys, and copies of that image with other boot files in place."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from os_image_composer.build.shelf import copy_sparse
from os_image_composer.formats.pe import parse_pe
from os_image_composer.formats.window import Window
from support.boot_keys import KeyFolder
from support.small_images import MIB, made
from support.workshop import TEMPLATE, Workshop

LOADER, UKI = "EFI/BOOT/BOOTX64.EFI", "EFI/Linux/debian13-minimal.efi"


@dataclass(frozen=True)
class SignedImage:
    """`esp` is where the EFI system partition begins, in bytes from the image's start."""

    image: Path
    keys: KeyFolder
    esp: int = MIB

    @property
    def enrolment(self) -> Path:
        return self.image.with_suffix(".secure-boot")

    def program(self, name: str) -> bytes:
        return made("mtype", "-i", f"{self.image}@@{self.esp}", f"::{name}").stdout

    def with_program(self, folder: Path, name: str, content: bytes) -> Path:
        """A copy of the image, in `folder`, that has `content` for a file of its EFI system partition."""
        copy = folder / self.image.name
        copy_sparse(self.image, copy)
        (folder / "program").write_bytes(content)
        made("mcopy", "-D", "o", "-i", f"{copy}@@{self.esp}", str(folder / "program"), f"::{name}")
        return copy

    def changed(self, name: str, section: str, old: bytes | None = None, new: bytes = b"") -> bytes:
        """A program with `new` for `old` in one section, of the same length; without `old` one byte in its middle."""
        program = bytearray(self.program(name))
        part = parse_pe(Window.of(bytes(program))).section(section)
        if old is None:
            program[part.offset + min(part.size, part.stored) // 2] ^= 1
        else:
            assert len(old) == len(new)
            at = program.index(old, part.offset, part.offset + part.stored)
            program[at : at + len(old)] = new
        return bytes(program)


def signed_template(folder: Path, keys: KeyFolder, **more: str) -> Path:
    """The sample template, which asks for secure boot with `keys`."""
    template = folder / "signed.yml"
    text = TEMPLATE.read_text().replace("  packages:\n", f"  secureBoot: {keys.template(**more)}\n  packages:\n", 1)
    template.write_text(text)
    return template


def build_signed(workshop: Workshop, folder: Path, keys: KeyFolder, *words: str, **more: str) -> SignedImage:
    """Build it in a workshop, into `folder`; layers that are there already are reused."""
    template = signed_template(folder, keys, **more)
    done = workshop.run("build", "--output", str(folder / "out"), *words, str(template))
    assert done.returncode == 0, done.stdout + done.stderr
    return SignedImage(folder / "out" / "debian13-minimal-1.0.raw", keys)


def unsigned(program: bytes, folder: Path) -> bytes:
    """A program without its signatures, as sbattach leaves it."""
    path = folder / "unsigned.efi"
    path.write_bytes(program)
    made("sbattach", "--remove", str(path))
    return path.read_bytes()


def remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)

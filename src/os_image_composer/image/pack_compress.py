"""A file of a build, compressed on all processors; the bytes do not depend on how many there are.

zstd, pigz and lbzip2 cut the file into the same blocks whatever the number of their threads. xz does so where it may
not fall back to its single-threaded form, which writes other headers; a block has three dictionaries of -6.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from os_image_composer.build.step import Kind, Work
from os_image_composer.chroot.services import Services
from os_image_composer.image.pack_job import INTO_OUTPUT, SOURCE, pack

PROGRAMS = {
    "zstd": ("zstd", "-9", "-T0", "--quiet", "--stdout", "--", SOURCE),
    "gz": ("pigz", "-6", "--no-name", "--stdout", "--", SOURCE),
    "xz": ("xz", "-6", "--threads=+0", "--block-size=24MiB", "--check=crc64", "--stdout", "--", SOURCE),
    "bz2": ("lbzip2", "-9", "--stdout", "--", SOURCE),
}


@dataclass(frozen=True)
class Compress:
    """`method` is zstd, gz, xz or bz2."""

    kind: ClassVar[str] = "compress"
    version: ClassVar[int] = 1
    result: ClassVar[Kind] = Kind.ARTIFACT

    method: str

    def run(self, work: Work[Services]) -> None:
        pack(work, (*INTO_OUTPUT, *PROGRAMS[self.method]), source=work.one("file"))

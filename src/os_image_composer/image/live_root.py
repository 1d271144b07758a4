"""The root filesystem of a live system, as it lies on the medium."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from os_image_composer.build.step import Kind, Work
from os_image_composer.chroot.job import Tree
from os_image_composer.chroot.services import Services
from os_image_composer.image.disk_job import DiskJob
from os_image_composer.image.medium import SQUASHFS
from os_image_composer.image.squashfs import write_squashfs

# A megabyte packs 6 % better than the usual 128 KiB, and a system that starts from a medium reads most of it anyway.
_BLOCK = "1M"


@dataclass(frozen=True)
class WriteSquashfs:
    """The stack of layers `lower` as a squashfs. `compression` is gzip, lz4, xz or zstd."""

    kind: ClassVar[str] = "write-squashfs"
    version: ClassVar[int] = 2
    result: ClassVar[Kind] = Kind.FILES

    compression: str
    source_date_epoch: int

    def run(self, work: Work[Services]) -> None:
        sandbox, made = work.services.sandbox, work.output / SQUASHFS
        sandbox.new_file(made, 0)
        job = DiskJob(work, made, self.source_date_epoch)
        options = (self.compression, "-b", _BLOCK)
        write_squashfs(job, Tree(work.all("lower")), self.source_date_epoch, options, "the squashfs of a live ISO")
        sandbox.own(made)
        made.chmod(0o644)  # read next as root of the sandbox, which is not the caller where that is root

"""The root filesystem as a file of its own: where it is sealed, or of a kind that cannot be written into a disk.

An ext4 that is written to goes straight to its place on the disk instead (image/disk.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from os_image_composer.build.step import Kind, Work
from os_image_composer.chroot.job import Tree
from os_image_composer.chroot.services import Services
from os_image_composer.image.disk_job import DiskJob
from os_image_composer.image.layout import PlacedPartition
from os_image_composer.image.root_files import ROOT_IMAGE
from os_image_composer.image.selinux import Labels
from os_image_composer.image.write_ext4 import write_ext4
from os_image_composer.image.write_packed import write_packed


@dataclass(frozen=True)
class WriteRootFilesystem:
    """The stack of layers `lower` as `partition`'s filesystem, which is never written to, labelled with what the step
    of the role `labels` computed, where there is one. `partition` is `alone`: it begins at 0. The file is as long as
    the partition, or as what is in it. `compression` is a squashfs's."""

    kind: ClassVar[str] = "write-root-filesystem"
    version: ClassVar[int] = 2
    result: ClassVar[Kind] = Kind.FILES

    partition: PlacedPartition
    source_date_epoch: int
    compression: str = ""

    def run(self, work: Work[Services]) -> None:
        sandbox, image, tree = work.services.sandbox, work.output / ROOT_IMAGE, Tree(work.all("lower"))
        packed = self.partition.filesystem != "ext4"
        sandbox.new_file(image, 0 if packed else self.partition.size)
        job = DiskJob(work, image, self.source_date_epoch)
        labels = next((Labels.read(folder) for folder in work.all("labels")), None)
        if packed:
            write_packed(job, self.partition, tree, self.source_date_epoch, self.compression, labels)
        else:
            write_ext4(job, self.partition, tree, self.source_date_epoch, labels, read_only=True)
        sandbox.own(image)
        image.chmod(0o644)  # the next step reads it as root of the sandbox, which is not the caller where that is root

"""RawMaker: partition table, boot files and root filesystem, written straight into one sparse file."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import ClassVar

from os_image_composer.build.sparse import copy_data
from os_image_composer.build.step import Kind, Work
from os_image_composer.chroot.job import Tree
from os_image_composer.chroot.services import Services
from os_image_composer.config.partition_roles import Role
from os_image_composer.image.bios_boot import write_bios_boot
from os_image_composer.image.boot_files import BIOS, BIOS_BOOT, BIOS_CORE, ESP
from os_image_composer.image.disk_job import DISK, DiskJob
from os_image_composer.image.layout import SECTOR, DiskLayout, PlacedPartition, sealed
from os_image_composer.image.root_files import HASH_TREE, ROOT_IMAGE, read_root_hash
from os_image_composer.image.selinux import Labels
from os_image_composer.image.write_ext4 import write_empty_ext4, write_ext4
from os_image_composer.image.write_fat import check_empty, write_fat

_SFDISK = ("sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", "--wipe", "never", DISK)
# The bit that says so of a partition (Discoverable Partitions Specification, partition attribute flags).
_READ_ONLY = 60


@dataclass(frozen=True)
class WriteDisk:
    """The root filesystem is the file that the input `root` has, sealed by the tree of the input `verity` where there
    is one, or else the stack of layers `lower`, which also fills what is mounted below it, labelled with what the step
    of the role `labels` computed, where there is one; the EFI system partition and what a BIOS starts are the boot
    step's files."""

    kind: ClassVar[str] = "write-disk"
    version: ClassVar[int] = 6
    result: ClassVar[Kind] = Kind.ARTIFACT

    layout: DiskLayout
    source_date_epoch: int

    def run(self, work: Work[Services]) -> None:
        sandbox, image, layout, boot = work.services.sandbox, work.output, self.layout, work.one("boot")
        made = [(layout.root, folder / ROOT_IMAGE) for folder in work.all("root")]
        for folder in work.all("verity"):
            made.append((layout.of(Role.HASH)[0], folder / HASH_TREE))
            layout = sealed(layout, read_root_hash(folder))
        sandbox.new_file(image, layout.size)
        job = DiskJob(work, image, self.source_date_epoch, published=True)
        job.run(_SFDISK, stdin=_table(layout))
        there = {partition.number for partition, _ in made}
        with ThreadPoolExecutor(2) as pool:
            written = [pool.submit(self._fill, job, p) for p in layout.partitions if p.number not in there]
            for future in written:
                future.result()
        sandbox.own(image)
        with image.open("r+b") as writer:
            for partition, file in made:
                with file.open("rb") as reader:
                    copy_data(reader, writer, partition.start)
        if (bios := layout.of_type("bios")) and (boot / BIOS).is_dir():
            write_bios_boot(image, bios, (boot / BIOS_BOOT).read_bytes(), (boot / BIOS_CORE).read_bytes())

    def _fill(self, job: DiskJob, partition: PlacedPartition) -> None:
        tree, epoch = Tree(job.work.all("lower")), self.source_date_epoch
        if partition.role is Role.ESP:
            write_fat(job, partition, job.work.one("boot") / ESP)
        elif partition.fat_bits:
            check_empty(job, partition, tree)
            write_fat(job, partition, None)
        elif partition.filesystem and partition.mount_point:
            labels = next((Labels.read(folder) for folder in job.work.all("labels")), None)
            write_ext4(job, partition, tree, epoch, labels)
        elif partition.filesystem:
            write_empty_ext4(job, partition, epoch)


def _table(layout: DiskLayout) -> bytes:
    """The partition table as sfdisk(8) reads it; offsets in sectors of 512 bytes."""
    rows = ["label: gpt", f"label-id: {layout.uuid}", "unit: sectors", f"sector-size: {SECTOR}"]
    for p in layout.partitions:
        fields = [
            f"start={p.start // SECTOR}",
            f"size={p.size // SECTOR}",
            f"type={p.type_guid}",
            f"uuid={p.uuid}",
            f'name="{p.name}"',
        ]
        if layout.verity and p.role in (Role.ROOT, Role.HASH):
            fields.append(f'attrs="GUID:{_READ_ONLY}"')
        rows.append(f"{p.number} : {', '.join(fields)}")
    return "\n".join([*rows, ""]).encode()

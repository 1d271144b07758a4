"""RawMaker: partition table, boot files and root filesystem, written straight into one sparse file."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import ClassVar

from os_image_composer.build.step import Kind, Work
from os_image_composer.chroot.job import Tree
from os_image_composer.chroot.services import Services
from os_image_composer.image.bios_boot import write_bios_boot
from os_image_composer.image.boot_files import BIOS, BIOS_BOOT, BIOS_CORE, ESP
from os_image_composer.image.disk_job import DISK, DiskJob
from os_image_composer.image.layout import SECTOR, DiskLayout
from os_image_composer.image.selinux import Labels
from os_image_composer.image.write_ext4 import write_ext4
from os_image_composer.image.write_fat import write_fat

_SFDISK = ("sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", "--wipe", "never", DISK)


@dataclass(frozen=True)
class WriteDisk:
    """The root filesystem is the stack of layers `lower`, labelled with what the step of the role `labels` computed,
    where there is one; the EFI system partition and what a BIOS starts are the boot step's files."""

    kind: ClassVar[str] = "write-disk"
    version: ClassVar[int] = 5
    result: ClassVar[Kind] = Kind.ARTIFACT

    layout: DiskLayout
    source_date_epoch: int

    def run(self, work: Work[Services]) -> None:
        sandbox, image, layout, boot = work.services.sandbox, work.output, self.layout, work.one("boot")
        sandbox.new_file(image, layout.size)
        job = DiskJob(work, image, self.source_date_epoch)
        job.run(_SFDISK, stdin=_table(layout))
        with ThreadPoolExecutor(2) as pool:
            tree = Tree(work.all("lower"))
            labels = next((Labels.read(folder) for folder in work.all("labels")), None)
            root = pool.submit(write_ext4, job, layout.root, tree, self.source_date_epoch, labels)
            if esp := layout.of_type("esp"):
                write_fat(job, esp, boot / ESP)
            root.result()
        sandbox.own(image)
        if (bios := layout.of_type("bios")) and (boot / BIOS).is_dir():
            write_bios_boot(image, bios, (boot / BIOS_BOOT).read_bytes(), (boot / BIOS_CORE).read_bytes())


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
        rows.append(f"{p.number} : {', '.join(fields)}")
    return "\n".join([*rows, ""]).encode()

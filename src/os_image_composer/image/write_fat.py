"""A folder of the build's own becomes a FAT filesystem in a disk image."""

from __future__ import annotations

from pathlib import Path

from os_image_composer.chroot.job import Bind, Tree
from os_image_composer.errors import StepError
from os_image_composer.image import fat
from os_image_composer.image.disk_job import DISK, DiskJob
from os_image_composer.image.layout import MIB, PlacedPartition

_FOLDER = "/run/folder"


def write_fat(job: DiskJob, partition: PlacedPartition, folder: Path | None) -> None:
    """Write the files below `folder`, under the names that they have there, into the job's file at the partition's
    place; None is an empty filesystem. Raises StepError `esp-too-small`, and what the job raises."""
    if folder is None:
        job.run(fat.mkfs_fat(DISK, partition))
        return
    files = {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()}
    _check_room(partition, list(files.values()))
    job.run(fat.mkfs_fat(DISK, partition))
    bind = Bind(folder, _FOLDER)
    for command in fat.fill(DISK, partition, {name: f"{_FOLDER}/{name}" for name in files}):
        job.run(command, bind)


def check_empty(job: DiskJob, partition: PlacedPartition, tree: Tree) -> None:
    """Raises StepError `mount-point-not-empty` for files of `tree` that a FAT filesystem would hide, because it cannot
    have them: it has no owners and no modes."""
    hidden = (
        job.work.services.sandbox.glob(tree, f"{partition.mount_point.strip('/')}/*") if partition.mount_point else ()
    )
    if hidden:
        raise StepError(
            "mount-point-not-empty",
            f"partition {partition.id} would hide /{hidden[0]}",
            cause="the image has files at its mount point, and FAT has neither owners nor modes",
            hint="mount it elsewhere, or make it ext4",
        )


def _check_room(partition: PlacedPartition, files: list[Path]) -> None:
    """Raises StepError when the files do not fit, tables and folders included."""
    needed = sum(path.stat().st_size for path in files) + partition.size // 100 + MIB
    if needed > partition.size:
        raise StepError(
            "esp-too-small",
            f"the boot files need {-(-needed // MIB)} MiB; partition {partition.id} has "
            f"{-(-partition.size // MIB)} MiB",
            hint=f"give partition {partition.id} more room in disk.partitions",
        )

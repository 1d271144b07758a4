"""A folder of the build's own becomes a FAT filesystem in a disk image."""

from __future__ import annotations

from pathlib import Path

from os_image_composer.chroot.job import Bind
from os_image_composer.errors import StepError
from os_image_composer.image import fat
from os_image_composer.image.disk_job import DISK, DiskJob
from os_image_composer.image.layout import MIB, PlacedPartition

_FOLDER = "/run/folder"


def write_fat(job: DiskJob, partition: PlacedPartition, folder: Path) -> None:
    """Write the files below `folder`, under the names that they have there, into the job's file at the partition's
    place. Raises StepError `esp-too-small`, and what the job raises."""
    files = {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()}
    _check_room(partition, list(files.values()))
    job.run(fat.mkfs_fat(DISK, partition))
    bind = Bind(folder, _FOLDER)
    for command in fat.fill(DISK, partition, {name: f"{_FOLDER}/{name}" for name in files}):
        job.run(command, bind)


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

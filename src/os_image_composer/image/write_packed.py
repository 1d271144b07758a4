"""A root filesystem that nothing can be written to: an erofs or a squashfs, checked against its partition.

An erofs is made of a tar stream as a squashfs is, and for the same reason.
"""

from __future__ import annotations

from pathlib import Path

from os_image_composer.chroot.job import Bind, Tree
from os_image_composer.errors import StepError
from os_image_composer.image.disk_job import DISK, DiskJob
from os_image_composer.image.layout import MIB, PlacedPartition
from os_image_composer.image.selinux import Labels
from os_image_composer.image.squashfs import write_squashfs

_ARCHIVE = "/run/archive"
_BLOCK = 4096


def write_packed(
    job: DiskJob,
    partition: PlacedPartition,
    tree: Tree,
    source_date_epoch: int,
    compression: str,
    labels: Labels | None = None,
) -> None:
    """Write `tree`, with `labels` beside its attributes, as the job's file, which gets as long as needed; `compression`
    is a squashfs's. Raises StepError `root-too-small` where it would not fit the partition, `attributes-lost` for what
    a squashfs cannot have, and what the job raises."""
    attributes = labels.tree if labels else ()
    if partition.filesystem == "squashfs":
        write_squashfs(job, tree, source_date_epoch, (compression,), "a squashfs", attributes)
    else:
        sandbox, archive = job.work.services.sandbox, job.work.scratch / "archive.tar"
        sandbox.archive(tree, source_date_epoch, archive, attributes)
        try:
            job.run(mkfs_erofs(partition, source_date_epoch), Bind(archive, _ARCHIVE))
        finally:
            archive.unlink()
    _check_room(job.image, partition)


def mkfs_erofs(partition: PlacedPartition, source_date_epoch: int) -> tuple[str, ...]:
    """lz4hc: what every kernel's erofs reads (LZMA is off in Debian 12's, zstd is of 6.10)."""
    label = ("-L", partition.label) if partition.label else ()
    return (
        *("mkfs.erofs", "--quiet", "-zlz4hc", f"-T{source_date_epoch}", "--mkfs-time"),
        *("-U", partition.filesystem_uuid, *label, "--tar=f", DISK, _ARCHIVE),
    )


def _check_room(image: Path, partition: PlacedPartition) -> None:
    """dm-verity seals whole blocks; both programs end their file with one."""
    size = image.stat().st_size
    if size % _BLOCK:
        raise StepError("disk-not-written", f"the {partition.filesystem} of '/' ends within a block")
    if size > partition.size:
        raise StepError(
            "root-too-small",
            f"the root filesystem takes {-(-size // MIB)} MiB; partition {partition.id} has "
            f"{-(-partition.size // MIB)} MiB",
            hint="raise the partition's end in the template",
        )

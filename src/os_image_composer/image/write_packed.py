"""A tree becomes an erofs or a squashfs: compressed filesystems that nothing can be written to.

Both are made of a tar stream, which says exactly which attributes a file gets: their own programs would take along what
the build host has on the tree, such as security labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from os_image_composer.chroot.job import Bind, Tree
from os_image_composer.chroot.tree import Xattr
from os_image_composer.errors import StepError
from os_image_composer.image.disk_job import DISK, DiskJob
from os_image_composer.image.layout import MIB, PlacedPartition
from os_image_composer.image.selinux import Labels

_ARCHIVE = "/run/archive"
_BLOCK = 4096
# sqfstar reads standard input alone, and a job's would have to be held in memory.
_FROM_FILE = "import os, sys; os.dup2(os.open(sys.argv[1], os.O_RDONLY), 0); os.execvp(sys.argv[2], sys.argv[2:])"
# Kernels read user.*, trusted.* and security.* of a squashfs and nothing else (linux/fs/squashfs/xattr_id.h).
_NO_SQUASHFS = "system."


def write_packed(
    job: DiskJob, partition: PlacedPartition, tree: Tree, source_date_epoch: int, labels: Labels | None = None
) -> None:
    """Write `tree`, with `labels` beside its attributes, as the job's file, which gets as long as needed. Raises
    StepError `root-too-small` where it would not fit the partition, `attributes-not-written` for what a squashfs cannot
    have, and what the job raises."""
    sandbox, archive = job.work.services.sandbox, job.work.scratch / "archive.tar"
    attributes = labels.tree if labels else ()
    if partition.filesystem == "squashfs":
        _check_attributes(sandbox.survey(tree).xattrs)
    sandbox.archive(tree, source_date_epoch, archive, attributes)
    try:
        argv = mkfs_erofs if partition.filesystem == "erofs" else sqfstar
        job.run(argv(partition, source_date_epoch, attributes), Bind(archive, _ARCHIVE))
    finally:
        archive.unlink()
    _check_room(job.image, partition)


def mkfs_erofs(partition: PlacedPartition, source_date_epoch: int, _: Sequence[Xattr] = ()) -> tuple[str, ...]:
    """lz4hc: what every kernel's erofs reads (LZMA is off in Debian 12's, zstd is of 6.10)."""
    label = ("-L", partition.label) if partition.label else ()
    return (
        *("mkfs.erofs", "--quiet", "-zlz4hc", f"-T{source_date_epoch}", "--mkfs-time"),
        *("-U", partition.filesystem_uuid, *label, "--tar=f", DISK, _ARCHIVE),
    )


def sqfstar(partition: PlacedPartition, source_date_epoch: int, attributes: Sequence[Xattr] = ()) -> tuple[str, ...]:
    """Times are clamped in the stream, and that of the filesystem itself is SOURCE_DATE_EPOCH's. It has no UUID. What
    the stream says of the root directory is not looked at."""
    of_root = [f"/ x {x.name}=0x{x.value.hex()}" for x in attributes if not x.path]
    return (
        *("python3", "-c", _FROM_FILE, _ARCHIVE),
        *("sqfstar", "-force", "-comp", "zstd", "-Xcompression-level", "15", "-no-progress", "-quiet"),
        *("-root-mode", "0755", "-root-uid", "0", "-root-gid", "0", "-root-time", str(source_date_epoch)),
        *(word for definition in of_root for word in ("-p", definition)),
        DISK,
    )


def _check_attributes(attributes: Sequence[Xattr]) -> None:
    lost = [f"/{x.path}: {x.name}" for x in attributes if x.name.startswith(_NO_SQUASHFS)]
    if lost:
        raise StepError(
            "attributes-not-written",
            f"squashfs cannot have {len(lost)} attributes of the image's files",
            cause="it has no POSIX access lists",
            detail=tuple(lost[:20]),
            hint="use erofs or ext4 for '/'; or `setfacl -b FILE` in systemConfig.configurations",
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

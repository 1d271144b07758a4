"""A tree becomes an ext4 filesystem in a disk image, attributes and times included."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from os_image_composer.chroot.job import Bind, MountedTree, Tree
from os_image_composer.chroot.tree import Xattr
from os_image_composer.errors import StepError
from os_image_composer.image import ext4
from os_image_composer.image.disk_job import DISK, DiskJob
from os_image_composer.image.layout import MIB, PlacedPartition
from os_image_composer.image.selinux import Labels

_TARGET = "/target"
_BATCH = "/run/batch"
_ODD_LINES = 20


def write_ext4(
    job: DiskJob,
    partition: PlacedPartition,
    tree: Tree,
    source_date_epoch: int,
    labels: Labels | None = None,
    *,
    read_only: bool = False,
) -> None:
    """Write `tree`, from the partition's mount point on, with `labels`, into the job's file at the partition's place;
    with `read_only` nobody will write to it. Raises StepError `root-too-small` where it has no room,
    `attributes-not-written`, and what the job raises."""
    folder = (partition.mount_point or "/").strip("/")
    with ThreadPoolExecutor(1) as pool:
        # mke2fs finds out by itself when there is no room; the survey, made beside it, tells how much is missing.
        surveyed = pool.submit(job.work.services.sandbox.survey, tree)
        try:
            argv = ext4.mke2fs(DISK, f"{_TARGET}/{folder}".rstrip("/"), partition, read_only=read_only)
            job.run(argv, MountedTree(tree, _TARGET))
        except StepError as error:
            raise _too_small(surveyed.result().bytes, partition) or error from error
        survey = surveyed.result()
    attributes = _below(folder, (*survey.xattrs, *(labels.tree if labels else ())))
    _finish(job, partition, (*attributes, *(labels.lost_and_found if labels else ())), source_date_epoch)


def write_empty_ext4(job: DiskJob, partition: PlacedPartition, source_date_epoch: int) -> None:
    """An ext4 filesystem without files at the partition's place. Raises what the job raises."""
    job.run(ext4.mke2fs(DISK, None, partition))
    _finish(job, partition, (), source_date_epoch)


def _below(folder: str, attributes: Sequence[Xattr]) -> list[Xattr]:
    """Those of a folder and what is in it, by their paths from there on."""
    if not folder:
        return list(attributes)
    return [
        x._replace(path=x.path[len(folder) + 1 :])
        for x in attributes
        if x.path == folder or x.path.startswith(f"{folder}/")
    ]


def _finish(job: DiskJob, partition: PlacedPartition, attributes: Sequence[Xattr], source_date_epoch: int) -> None:
    """Attributes and times, which mke2fs would take from the build's own files."""
    batch = job.work.scratch / f"batch-{partition.id}"
    times = ext4.times_batch(job.image, partition, source_date_epoch)
    batch.write_bytes(ext4.attribute_batch(attributes) + times)
    odd: list[str] = []
    # debugfs exits with 0 whatever its commands did; beyond its echo it is silent when they worked.
    job.run(ext4.debugfs(DISK, _BATCH, partition), Bind(batch, _BATCH), hear=functools.partial(_note_odd, odd))
    if odd:
        raise StepError("attributes-not-written", "attributes or times could not be written", detail=tuple(odd))


def _note_odd(odd: list[str], line: str) -> None:
    """Keep what debugfs says beyond its echo, the first lines of it."""
    if line.strip() and not line.startswith("debugfs") and len(odd) < _ODD_LINES:
        odd.append(line)


def _too_small(needed: int, partition: PlacedPartition) -> StepError | None:
    """The error for a root that is too small for `needed` bytes of files; None when that cannot be the cause."""
    if needed < partition.size * 0.8:
        return None
    return StepError(
        "root-too-small",
        f"the files of the root filesystem need {-(-needed // MIB)} MiB; partition {partition.id} has "
        f"{-(-partition.size // MIB)} MiB, part of which the filesystem keeps for itself",
        hint="raise disk.size, or the partition's end, in the template",
    )

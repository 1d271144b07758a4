"""A tree becomes a squashfs: one compressed file that is only ever read.

It is made of a tar stream, which says exactly which attributes a file gets: mksquashfs would take along what the build
host has on the tree, such as security labels.
"""

from __future__ import annotations

from collections.abc import Sequence

from os_image_composer.chroot.job import Bind, Tree
from os_image_composer.chroot.tree import Xattr
from os_image_composer.image.attributes import check_lost
from os_image_composer.image.disk_job import DISK, DiskJob

_ARCHIVE = "/run/archive"
# sqfstar reads standard input alone, and a job's would have to be held in memory.
_FROM_FILE = "import os, sys; os.dup2(os.open(sys.argv[1], os.O_RDONLY), 0); os.execvp(sys.argv[2], sys.argv[2:])"
# What kernels read of a squashfs (linux/fs/squashfs/xattr_id.h): no POSIX access lists, which are of system.*.
_HELD = ("security.*", "user.*", "trusted.*")


def write_squashfs(
    job: DiskJob,
    tree: Tree,
    source_date_epoch: int,
    options: tuple[str, ...],
    form: str,
    attributes: Sequence[Xattr] = (),
) -> None:
    """Write `tree` with `attributes` beside its own as the job's file; `options` begin with the compression, `form` is
    what an error calls the result. Raises StepError `attributes-lost` for what a squashfs cannot have, and what the job
    raises."""
    sandbox, archive = job.work.services.sandbox, job.work.scratch / "archive.tar"
    check_lost(sandbox.survey(tree).xattrs, _HELD, form)
    sandbox.archive(tree, source_date_epoch, archive, attributes)
    try:
        job.run(sqfstar(source_date_epoch, options, attributes), Bind(archive, _ARCHIVE))
    finally:
        archive.unlink()


def sqfstar(source_date_epoch: int, options: tuple[str, ...], attributes: Sequence[Xattr] = ()) -> tuple[str, ...]:
    """Times are clamped in the stream, and that of the filesystem itself is SOURCE_DATE_EPOCH's. It has no UUID. What
    the stream says of the root directory is not looked at."""
    of_root = [f"/ x {x.name}=0x{x.value.hex()}" for x in attributes if not x.path]
    return (
        *("python3", "-c", _FROM_FILE, _ARCHIVE),
        *("sqfstar", "-force", "-no-progress", "-quiet", "-comp", *options),
        *("-root-mode", "0755", "-root-uid", "0", "-root-gid", "0", "-root-time", str(source_date_epoch)),
        *(word for definition in of_root for word in ("-p", definition)),
        DISK,
    )

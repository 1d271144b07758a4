"""Runs the image tools on a file that becomes a disk, or a part of one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from os_image_composer.build.shelf import is_full, output_full
from os_image_composer.build.step import Work
from os_image_composer.chroot.job import Bind, Job, Mount, Tree
from os_image_composer.chroot.services import Services
from os_image_composer.errors import StepError

DISK = "/run/disk"  # where the programs see the file


class DiskJob:
    """`image` is the file; the tools are the step's input of that name. `published`: it lies where it stays, and not in
    the store, of which the build itself tells when it is full."""

    def __init__(self, work: Work[Services], image: Path, source_date_epoch: int, published: bool = False) -> None:
        self.work = work
        self.published = published
        self.tools = Tree(work.all("tools"))
        self.image = image
        # mke2fs asks for a terminal's confirmation and mtools checks geometry unless told not to.
        self.env = {"SOURCE_DATE_EPOCH": str(source_date_epoch), "MTOOLS_SKIP_CHECK": "1"}

    def run(
        self, argv: tuple[str, ...], *mounts: Mount, stdin: bytes = b"", hear: Callable[[str], None] | None = None
    ) -> None:
        """Raises StepError where the program fails: `output-full` where that is for want of room."""
        disk = Bind(self.image, DISK, read_only=False)
        job = Job(self.tools, argv, (disk, *mounts), env=self.env, stdin=stdin)
        done = self.work.services.sandbox.run(job, hear)
        if done.status and self.published and is_full(self.image.parent):
            raise output_full(self.image)
        if done.status:
            raise StepError(
                "disk-not-written",
                f"{argv[0]} failed with exit status {done.status}",
                detail=done.tail(),
            )

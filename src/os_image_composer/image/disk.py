"""RawMaker: partition table, EFI system partition and root filesystem, written straight into one sparse file."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from os_image_composer.build.step import Kind, Work
from os_image_composer.chroot.job import Bind, Job, Mount, MountedTree, Tree
from os_image_composer.chroot.services import Services
from os_image_composer.errors import StepError
from os_image_composer.image import ext4, fat
from os_image_composer.image.layout import SECTOR, DiskLayout, PlacedPartition
from os_image_composer.image.uki import LOADER, UKI

_TARGET = "/target"
_DISK = "/run/disk"
_BOOT = "/run/boot"
_BATCH = "/run/batch"
_ODD_LINES = 20
_LITTLE = 4 * 1024 * 1024
_LOADER_CONF = b"timeout 0\nconsole-mode keep\n"


@dataclass(frozen=True)
class WriteDisk:
    """`removable_path` is where firmware looks on a disk it has no entry for (UEFI specification §3.5.1.1);
    `uki_name` is the file name under EFI/Linux, where systemd-boot finds kernels (Boot Loader Specification)."""

    kind: ClassVar[str] = "write-disk"
    version: ClassVar[int] = 4
    result: ClassVar[Kind] = Kind.ARTIFACT

    layout: DiskLayout
    removable_path: str
    uki_name: str
    source_date_epoch: int

    def run(self, work: Work[Services]) -> None:
        services, image = work.services, work.output
        services.sandbox.new_file(image, self.layout.size)
        job = _DiskJob(work, self, image)
        job.run(self._sfdisk(), stdin=self._table())
        with ThreadPoolExecutor(2) as pool:
            root = pool.submit(self._write_root, job, work)
            self._write_esp(job, work)
            root.result()
        services.sandbox.own(image)

    def _write_root(self, job: _DiskJob, work: Work[Services]) -> None:
        partition = self.layout.root
        tree = Tree(work.all("lower"))
        with ThreadPoolExecutor(1) as pool:
            # mke2fs finds out by itself when there is no room; the survey, made beside it, tells how much is missing.
            surveyed = pool.submit(work.services.sandbox.survey, tree)
            try:
                job.run(ext4.mke2fs(_DISK, _TARGET, partition), MountedTree(tree, _TARGET))
            except StepError as error:
                raise _too_small(surveyed.result().bytes, partition) or error from error
            survey = surveyed.result()
        batch = work.scratch / "batch"
        times = ext4.times_batch(work.output, partition, self.source_date_epoch)
        batch.write_bytes(ext4.attribute_batch(survey.xattrs) + times)
        odd: list[str] = []
        # debugfs exits with 0 whatever its commands did; beyond its echo it is silent when they worked.
        hear = functools.partial(_note_odd, odd)
        job.run(ext4.debugfs(_DISK, _BATCH, partition), Bind(batch, _BATCH), hear=hear)
        if odd:
            raise StepError("attributes-not-written", "attributes or times could not be written", detail=tuple(odd))

    def _write_esp(self, job: _DiskJob, work: Work[Services]) -> None:
        partition = self.layout.esp
        _check_room(partition, work.one("boot"))
        conf = work.scratch / "loader.conf"
        conf.write_bytes(_LOADER_CONF)
        boot = Bind(work.one("boot"), _BOOT)
        job.run(fat.mkfs_fat(_DISK, partition))
        files = {
            self.removable_path: f"{_BOOT}/{LOADER}",
            f"EFI/Linux/{self.uki_name}": f"{_BOOT}/{UKI}",
            "loader/loader.conf": "/run/loader.conf",
        }
        for command in fat.fill(_DISK, partition, files):
            job.run(command, boot, Bind(conf, "/run/loader.conf"))

    def _sfdisk(self) -> tuple[str, ...]:
        return ("sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", "--wipe", "never", _DISK)

    def _table(self) -> bytes:
        """The partition table as sfdisk(8) reads it; offsets in sectors of 512 bytes."""
        rows = ["label: gpt", f"label-id: {self.layout.uuid}", "unit: sectors", f"sector-size: {SECTOR}"]
        for p in self.layout.partitions:
            fields = [
                f"start={p.start // SECTOR}",
                f"size={p.size // SECTOR}",
                f"type={p.type_guid}",
                f"uuid={p.uuid}",
                f'name="{p.name}"',
            ]
            rows.append(f"{p.number} : {', '.join(fields)}")
        return "\n".join([*rows, ""]).encode()


class _DiskJob:
    """Runs image tools on the disk image."""

    def __init__(self, work: Work[Services], action: WriteDisk, image: Path) -> None:
        self.work = work
        self.tools = Tree(work.all("tools"))
        self.image = image
        # mke2fs asks for a terminal's confirmation and mtools checks geometry unless told not to.
        self.env = {"SOURCE_DATE_EPOCH": str(action.source_date_epoch), "MTOOLS_SKIP_CHECK": "1"}

    def run(
        self, argv: tuple[str, ...], *mounts: Mount, stdin: bytes = b"", hear: Callable[[str], None] | None = None
    ) -> None:
        disk = Bind(self.image, _DISK, read_only=False)
        job = Job(self.tools, argv, (disk, *mounts), env=self.env, stdin=stdin)
        done = self.work.services.sandbox.run(job, hear)
        if done.status and shutil.disk_usage(self.image.parent).free < _LITTLE:
            raise StepError(
                "output-full",
                f"no space is left in {self.image.parent.parent}, where the image is written",
                hint="free some, or give --output, or --work-dir, a folder with more room",
            )
        if done.status:
            raise StepError(
                "disk-not-written",
                f"{argv[0]} failed with exit status {done.status}",
                detail=done.tail(),
            )


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
        f"the files of the root filesystem need {_mib(needed)} MiB; partition {partition.id} has "
        f"{_mib(partition.size)} MiB, part of which the filesystem keeps for itself",
        hint="raise disk.size, or the partition's end, in the template",
    )


def _check_room(partition: PlacedPartition, boot: Path) -> None:
    """Raises StepError when the boot files do not fit the EFI system partition, tables and folders included."""
    needed = sum(path.stat().st_size for path in boot.iterdir()) + partition.size // 100 + _LITTLE // 4
    if needed > partition.size:
        raise StepError(
            "esp-too-small",
            f"the boot files need {_mib(needed)} MiB; partition {partition.id} has {_mib(partition.size)} MiB",
            hint=f"give partition {partition.id} more room in disk.partitions",
        )


def _mib(size: int) -> int:
    return -(-size // (1024 * 1024))

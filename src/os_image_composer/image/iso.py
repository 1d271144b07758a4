"""IsoMaker: one file that is a CD and a disk, and that UEFI and a BIOS start from either.

| started as | by UEFI | by a BIOS |
| --- | --- | --- |
| CD | El Torito entry for EFI: the EFI system partition | El Torito entry: GRUB |
| disk | the EFI system partition in the partition table | the boot sector, which finds GRUB in the ISO |

The EFI system partition lies behind the ISO's own filesystem. That is a partition, too, with volume descriptors of its
own: so a system that runs from a stick leaves the disk free for a partition that keeps changes.
"""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar
from uuid import UUID

from os_image_composer.build.step import Kind, Work
from os_image_composer.chroot.job import Bind, Job, Tree
from os_image_composer.chroot.services import Services
from os_image_composer.config.partition_roles import Role
from os_image_composer.errors import StepError
from os_image_composer.image.boot_files import ESP
from os_image_composer.image.carried_files import CarriedFile, copy_carried
from os_image_composer.image.disk_job import DiskJob
from os_image_composer.image.layout import MIB, PlacedPartition
from os_image_composer.image.medium import EL_TORITO, HYBRID, IMAGES, LIVE_FOLDER, MEDIUM, SEAL, SQUASHFS
from os_image_composer.image.medium_digest import implant_digest
from os_image_composer.image.root_files import HASH_TREE
from os_image_composer.image.write_fat import write_fat

_OUTPUT, _BOOT, _ROOT, _ESP_IMAGE = "/run/disk", "/run/boot", "/run/root", "/run/esp"
_SEAL, _CARRIED = "/run/seal", "/run/carried"
_ESP_GUID = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
# Microsoft's basic data, which systems that know no better open as a disk with files: it is one.
_DATA_GUID = "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7"


@dataclass(frozen=True)
class WriteIso:
    """The input `verity` has the hash tree of a sealed root. `label` is the volume identifier; `disk_uuid` the
    partition table's, from which xorriso takes those of the partitions; `esp` describes the EFI system partition, which
    grows with its files. `carried` lies beside the system on the medium."""

    kind: ClassVar[str] = "write-iso"
    version: ClassVar[int] = 1
    result: ClassVar[Kind] = Kind.ARTIFACT

    label: str
    disk_uuid: str
    esp: PlacedPartition
    source_date_epoch: int
    carried: tuple[CarriedFile, ...] = ()

    def run(self, work: Work[Services]) -> None:
        sandbox, boot = work.services.sandbox, work.one("boot")
        esp, date = self._esp(work, boot), _timestamp(self.source_date_epoch)
        carried = copy_carried(self.carried, work.services.host_files, work.scratch / "carried")
        sandbox.new_file(work.output, 0)
        argv = (
            *("xorriso", "-as", "mkisofs", "-quiet", "-o", _OUTPUT),
            *("-V", self.label, "-iso-level", "3", "-R", "-J", "-joliet-long", "-uid", "0", "-gid", "0"),
            *("-file-mode", "0444", "-dir-mode", "0555", "-no-pad"),
            *("--gpt_disk_guid", self.disk_uuid, f"--modification-date={date}", "--set_all_file_dates", date),
            # For a BIOS, as a CD and as a disk.
            *("-c", "boot/boot.cat", "-b", EL_TORITO, "-no-emul-boot", "-boot-load-size", "4", "-boot-info-table"),
            *("--grub2-boot-info", "--grub2-mbr", f"{_BOOT}/{HYBRID}", "--protective-msdos-label"),
            # A filesystem that can be mounted as a partition, and a table that leaves room for others.
            *("-partition_offset", "16", "-partition_cyl_align", "off", "-iso_mbr_part_type", _DATA_GUID),
            *("-append_partition", "2", _ESP_GUID, _ESP_IMAGE, "-appended_part_as_gpt"),
            # For UEFI, as a CD; as a disk it finds the partition.
            *("-eltorito-alt-boot", "-e", "--interval:appended_partition_2:all::", "-no-emul-boot"),
            *("-graft-points", f"{_BOOT}/{MEDIUM}", f"{LIVE_FOLDER}/{SQUASHFS}={_ROOT}/{SQUASHFS}"),
            *(f"{LIVE_FOLDER}/{SEAL}={_SEAL}/{HASH_TREE}" for _ in work.all("verity")),
            *(f"{IMAGES}/{name}={_CARRIED}/{name}" for name in carried),
        )
        mounts = (
            *(Bind(seal, _SEAL) for seal in work.all("verity")),
            *(Bind(file, f"{_CARRIED}/{name}") for name, file in carried.items()),
            Bind(work.output, _OUTPUT, read_only=False),
            Bind(boot, _BOOT),
            Bind(work.one("root"), _ROOT),
            Bind(esp, _ESP_IMAGE),
        )
        env = {"SOURCE_DATE_EPOCH": str(self.source_date_epoch), "TZ": "UTC"}
        done = sandbox.run(Job(Tree(work.all("tools")), argv, mounts, env=env), work.say)
        sandbox.own(work.output)
        if done.status:
            raise StepError("iso-not-written", f"xorriso failed with exit status {done.status}", detail=done.tail())
        implant_digest(work.output)

    def _esp(self, work: Work[Services], boot: Path) -> Path:
        """The EFI system partition as a file."""
        sandbox, file = work.services.sandbox, work.scratch / "esp.img"
        files = sum(path.stat().st_size for path in (boot / ESP).rglob("*") if path.is_file())
        esp = replace(self.esp, size=max(self.esp.size, -(-(files + files // 32) // MIB) * MIB + 4 * MIB))
        sandbox.new_file(file, esp.size)
        write_fat(DiskJob(work, file, self.source_date_epoch), esp, boot / ESP)
        sandbox.own(file)
        file.chmod(0o644)  # xorriso reads it as root of the sandbox, which is not the caller where that is root
        return file


def volume_label(name: str, volume: UUID) -> str:
    """A volume identifier (ECMA-119 §8.4.7: 32 of A-Z, 0-9 and _) that no other image's medium has: what is started
    looks for it."""
    plain = re.sub(r"[^A-Z0-9_]", "_", name.upper())[:23]
    return f"{plain}_{volume.hex[:8].upper()}"


def esp_partition(uuid: str, serial: str) -> PlacedPartition:
    """The EFI system partition of a medium, as a filesystem of its own: offsets begin with it."""
    return PlacedPartition(
        number=2,
        id="esp",
        name="esp",
        type_guid=_ESP_GUID,
        uuid=uuid,
        start=0,
        size=12 * MIB,
        filesystem="fat16",
        filesystem_uuid=serial,
        hash_seed=uuid,
        label="ESP",
        mount_point=None,
        mount_options=None,
        role=Role.ESP,
    )


def _timestamp(seconds: int) -> str:
    """As a volume descriptor has it (ECMA-119 §8.4.26.1): to hundredths of a second."""
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y%m%d%H%M%S00")

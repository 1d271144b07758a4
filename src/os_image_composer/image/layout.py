"""Where everything lies on the disk: the spec's partitions with every identifier decided.

Offsets and sizes are bytes. A GPT (UEFI specification §5.3) keeps the last 33 sectors of 512 bytes for its copy.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from os_image_composer.config.partition_types import type_guid
from os_image_composer.config.spec import ImageSpec, Partition
from os_image_composer.image.identifiers import derived_uuid, fat_serial

SECTOR = 512
MIB = 1024 * 1024
_BACKUP_GPT = 33 * SECTOR
_FAT = {"fat32": 32, "vfat": 32, "fat16": 16}
_NAMES = {"vfat": "fat32"}  # two names for one thing make no two disks


@dataclass(frozen=True)
class PlacedPartition:
    """`filesystem_uuid` is what fstab and the kernel's command line call it by; FAT has a serial number instead."""

    number: int
    id: str
    name: str
    type_guid: str
    uuid: str
    start: int
    size: int
    filesystem: str | None
    filesystem_uuid: str
    hash_seed: str
    label: str | None
    mount_point: str | None
    mount_options: str | None

    @property
    def fat_bits(self) -> int | None:
        return _FAT.get(self.filesystem or "")


@dataclass(frozen=True)
class DiskLayout:
    size: int
    uuid: str
    partitions: tuple[PlacedPartition, ...]

    @property
    def root(self) -> PlacedPartition:
        return next(p for p in self.partitions if p.mount_point == "/")

    @property
    def esp(self) -> PlacedPartition:
        return next(p for p in self.partitions if p.type_guid == type_guid("esp"))

    def of_type(self, name: str) -> PlacedPartition | None:
        """The first partition of a type, by the type's name; a disk for a BIOS need not have an `esp`."""
        return next((p for p in self.partitions if p.type_guid == type_guid(name)), None)


def bare(layout: DiskLayout) -> DiskLayout:
    """What of the layout reaches the disk itself: how a running system mounts it stands in fstab, which is a file."""
    root = layout.root
    partitions = (
        replace(p, mount_point=p.mount_point if p == root else None, mount_options=None) for p in layout.partitions
    )
    return replace(layout, partitions=tuple(partitions))


def lay_out(spec: ImageSpec, seed: str) -> DiskLayout:
    """The layout of `spec`'s disk. The last partition ends where the backup GPT begins, rounded down to 1 MiB."""
    disk = spec.disk
    usable = (disk.size - _BACKUP_GPT) // MIB * MIB
    placed = tuple(_place(p, n, usable, seed, spec.target.arch) for n, p in enumerate(disk.partitions, 1))
    return DiskLayout(disk.size, str(derived_uuid(seed, "disk")), placed)


def fstab(layout: DiskLayout) -> str:
    """fstab(5): by filesystem UUID, the root first, each mount point after those it lies in."""
    rows = []
    for partition in sorted(layout.partitions, key=lambda p: p.mount_point or ""):
        if not partition.mount_point or not partition.filesystem or partition.mount_point == "none":
            continue
        kind = "vfat" if partition.fat_bits else partition.filesystem
        passes = 1 if partition.mount_point == "/" else 2
        options = partition.mount_options or "defaults"
        rows.append(f"UUID={partition.filesystem_uuid}\t{partition.mount_point}\t{kind}\t{options}\t0\t{passes}\n")
    return "".join(rows)


def _place(partition: Partition, number: int, usable: int, seed: str, arch: str) -> PlacedPartition:
    uuid = derived_uuid(seed, partition.id, "filesystem")
    end = usable if partition.end is None else min(partition.end, usable)
    guid = partition.type_uuid or type_guid(partition.type or "linux")
    return PlacedPartition(
        number=number,
        id=partition.id,
        name=partition.name,
        type_guid=guid.upper(),
        uuid=str(derived_uuid(seed, partition.id, "partition")),
        start=partition.start,
        size=end - partition.start,
        filesystem=_NAMES.get(partition.fs_type or "", partition.fs_type),
        filesystem_uuid=fat_serial(uuid) if partition.fs_type in _FAT else str(uuid),
        hash_seed=str(derived_uuid(seed, partition.id, "hash-seed")),
        label=partition.fs_label,
        mount_point=partition.mount_point,
        mount_options=partition.mount_options,
    )

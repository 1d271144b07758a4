"""Where everything lies on the disk: the spec's partitions with every identifier decided.

Offsets and sizes are bytes. A GPT (UEFI specification §5.3) keeps the last 33 sectors of 512 bytes for its copy.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from uuid import UUID

from os_image_composer.config.partition_roles import READ_ONLY, Role, guid, roles
from os_image_composer.config.partition_types import VERITY_TYPE_BY_ARCH, type_guid
from os_image_composer.config.spec import ImageSpec, Partition
from os_image_composer.image.identifiers import derived_uuid, fat_serial

SECTOR = 512
MIB = 1024 * 1024
_BACKUP_GPT = 33 * SECTOR
_FAT = {"fat32": 32, "vfat": 32, "fat16": 16}
_TEMPORARY = "/tmp"  # noqa: S108 (of the image)
_NAMES = {"vfat": "fat32"}  # two names for one thing make no two disks


@dataclass(frozen=True)
class PlacedPartition:
    """`filesystem_uuid` is what fstab and the kernel's command line call it by; FAT has a serial number instead."""

    number: int
    id: str
    role: Role
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
        return self.of(Role.ROOT)[0]

    @property
    def esp(self) -> PlacedPartition:
        return self.of(Role.ESP)[0]

    @property
    def verity(self) -> bool:
        """Whether the root is sealed."""
        return bool(self.of(Role.HASH))

    @property
    def read_only_root(self) -> bool:
        """Whether nothing can be written to the root: it is sealed, or of such a filesystem."""
        return self.verity or self.root.filesystem in READ_ONLY

    def of(self, role: Role) -> tuple[PlacedPartition, ...]:
        return tuple(p for p in self.partitions if p.role is role)

    def of_type(self, name: str) -> PlacedPartition | None:
        """The first partition of a type, by the type's name; a disk for a BIOS need not have an `esp`."""
        return next((p for p in self.partitions if p.type_guid == type_guid(name)), None)


def bare(layout: DiskLayout) -> DiskLayout:
    """What of the layout reaches the disk itself: how a running system mounts it stands in fstab, which is a file. The
    files of the tree that lie at its mount point reach a partition that has no other use."""
    keeping = (Role.ROOT, Role.OTHER)
    partitions = (
        replace(p, mount_point=p.mount_point if p.role in keeping and p.filesystem else None, mount_options=None)
        for p in layout.partitions
    )
    return replace(layout, partitions=tuple(partitions))


def alone(partition: PlacedPartition) -> PlacedPartition:
    """The partition's filesystem as a file of its own: what the disk's table says of it is left out."""
    return replace(partition, number=0, name="", uuid="", type_guid="", start=0, mount_options=None)


def sealed(layout: DiskLayout, root_hash: str) -> DiskLayout:
    """The layout with the root's and its hash tree's partition UUIDs, which are the first and the last 128 bits of the
    root hash (Discoverable Partitions Specification)."""
    uuids = {Role.ROOT: str(UUID(root_hash[:32])), Role.HASH: str(UUID(root_hash[-32:]))}
    partitions = (replace(p, uuid=uuids.get(p.role, p.uuid)) for p in layout.partitions)
    return replace(layout, partitions=tuple(partitions))


def lay_out(spec: ImageSpec, seed: str) -> DiskLayout:
    """The layout of `spec`'s disk. The last partition ends where the backup GPT begins, rounded down to 1 MiB."""
    disk = spec.disk
    usable = (disk.size - _BACKUP_GPT) // MIB * MIB
    found = roles(disk.partitions, spec.immutability.enabled)
    placed = tuple(
        _place(p, role, n, usable, seed, spec.target.arch)
        for n, (p, role) in enumerate(zip(disk.partitions, found, strict=True), 1)
    )
    return DiskLayout(disk.size, str(derived_uuid(seed, "disk")), placed)


def fstab(layout: DiskLayout) -> str:
    """fstab(5): by filesystem UUID, the root first, each mount point after those it lies in. The data partition is not
    here: it is mounted before anybody reads this."""
    rows = [_root_row(layout)]
    for partition in sorted(layout.partitions, key=lambda p: p.mount_point or ""):
        if not partition.mount_point or not partition.filesystem or partition.role in (Role.ROOT, Role.STATE):
            continue
        kind = "vfat" if partition.fat_bits else partition.filesystem
        options = partition.mount_options or "defaults"
        rows.append(f"UUID={partition.filesystem_uuid}\t{partition.mount_point}\t{kind}\t{options}\t0\t2\n")
    if layout.read_only_root and all(p.mount_point != _TEMPORARY for p in layout.partitions):
        rows.append(f"tmpfs\t{_TEMPORARY}\ttmpfs\tmode=1777,nosuid,nodev\t0\t0\n")
    return "".join(rows)


def root_device(layout: DiskLayout) -> str:
    """What the kernel's command line and fstab call the root's device."""
    if layout.verity:
        return "/dev/mapper/root"
    if layout.read_only_root:
        return f"PARTUUID={layout.root.uuid}"
    return f"UUID={layout.root.filesystem_uuid}"


def _root_row(layout: DiskLayout) -> str:
    """A root that nothing writes to has no fsck(8) that could mend it."""
    root = layout.root
    options, passes = root.mount_options or "defaults", 1
    if layout.read_only_root:
        options, passes = ",".join(["ro", *(o for o in options.split(",") if o not in ("rw", "ro", "defaults"))]), 0
    return f"{root_device(layout)}\t/\t{root.filesystem}\t{options}\t0\t{passes}\n"


def _place(partition: Partition, role: Role, number: int, usable: int, seed: str, arch: str) -> PlacedPartition:
    uuid = derived_uuid(seed, partition.id, "filesystem")
    end = usable if partition.end is None else min(partition.end, usable)
    tree = role is Role.HASH
    return PlacedPartition(
        number=number,
        id=partition.id,
        name=partition.name,
        role=role,
        type_guid=type_guid(VERITY_TYPE_BY_ARCH[arch]) if tree else guid(partition),
        uuid=str(derived_uuid(seed, partition.id, "partition")),
        start=partition.start,
        size=end - partition.start,
        filesystem=None if tree else _NAMES.get(partition.fs_type or "", partition.fs_type),
        filesystem_uuid=fat_serial(uuid) if partition.fs_type in _FAT else str(uuid),
        hash_seed=str(derived_uuid(seed, partition.id, "hash-seed")),
        label=partition.fs_label,
        mount_point=partition.mount_point,
        mount_options=partition.mount_options,
    )

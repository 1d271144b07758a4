"""Whether a disk's partitions can be made, and boot: found from the template alone."""

from __future__ import annotations

from collections.abc import Iterator

from os_image_composer.config.findings import Location, key_path, where
from os_image_composer.config.partition_types import PARTITION_TYPES, ROOT_TYPE_BY_ARCH, type_guid
from os_image_composer.config.sizes import MIB, format_size
from os_image_composer.config.template import DiskTemplate, PartitionTemplate
from os_image_composer.config.yaml_source import MappingNode
from os_image_composer.errors import Finding

__all__ = ["check_layout"]

# The first MiB holds the partition table. Its copy takes the last 33 sectors (UEFI 2.10 §5.3.1): a MiB, so
# that the last partition ends aligned.
FIRST = MIB
TAIL = MIB
# Less than 65,525 clusters is FAT16 by definition (Microsoft's FAT specification, "FAT type determination");
# with the smallest cluster, 512 bytes, the data, both tables and the reserved sectors need 33 MiB.
SMALLEST_FAT32 = 34 * MIB
FAT = ("fat32", "vfat")
FAT_LABEL = 11
ESP = type_guid("esp")
BIOS = type_guid("bios")
FLAG_TYPES = {"esp": ESP, "boot": ESP, "bios_grub": BIOS}


def check_layout(disk: DiskTemplate, node: MappingNode, boot_type: str | None, arch: str) -> tuple[Finding, ...]:
    """What is wrong with `disk`; `node` is the tree it was read from, `arch` the machine that boots it."""
    check = _Layout(disk, node)
    return (
        *check.unique(),
        *check.places(),
        *check.overlaps(),
        *check.file_systems(),
        *check.others(),
        *check.root(arch),
        *(check.esp() if boot_type == "efi" else ()),
        *(check.bios() if boot_type == "legacy" else ()),
    )


class _Layout:
    """The disk under check; each method gives the findings of one rule."""

    def __init__(self, disk: DiskTemplate, node: MappingNode) -> None:
        self.disk = disk
        self.node = node
        self.last = disk.size - TAIL

    def finding(
        self, reference: str, location: Location, message: str, hint: str | None = None, *, key: bool = False
    ) -> Finding:
        path = key_path(("disk", *location))
        return Finding(reference, f"'{path}' {message}", where(self.node, location, key=key), hint)

    def end(self, partition: PartitionTemplate) -> int:
        return self.last if partition.end is None else partition.end

    def unique(self) -> Iterator[Finding]:
        """Ids and mount points name one partition each."""
        for field, key in (("id", "id"), ("mount_point", "mountPoint")):
            seen: dict[str, int] = {}
            for index, partition in enumerate(self.disk.partitions):
                value = getattr(partition, field)
                if value is not None and value in seen:
                    message = f"is '{value}', as is that of the partition {seen[value] + 1} in the list"
                    yield self.finding("duplicate-value", ("partitions", index, key), message)
                elif value is not None:
                    seen[value] = index

    def places(self) -> Iterator[Finding]:
        """Each partition is aligned, has a size, and lies between the partition tables."""
        if self.disk.size % MIB:
            yield self.finding("unaligned", ("size",), "is not a whole number of MiB")
        for index, partition in enumerate(self.disk.partitions):
            for key, value in (("start", partition.start), ("end", partition.end)):
                if value is not None and value % MIB:
                    message = f"is not at a multiple of 1MiB ({format_size(value)})"
                    yield self.finding("unaligned", ("partitions", index, key), message)
            if partition.start < FIRST:
                message = "leaves no place for the partition table"
                yield self.finding("outside-disk", ("partitions", index, "start"), message, "begin at 1MiB")
            end, size = self.end(partition), format_size(self.disk.size)
            if end > self.last:
                message = f"is beyond the end of the disk, whose size is {size} with 1MiB kept for the table's copy"
                hint = f'make the disk larger, or write end: "0" for all that is left (to {format_size(self.last)})'
                yield self.finding("outside-disk", ("partitions", index, "end"), message, hint)
            elif end <= partition.start:
                what = "end" if partition.end is not None else "start"
                message = (
                    f"leaves the partition no room: it runs from {format_size(partition.start)} to {format_size(end)}"
                )
                yield self.finding("outside-disk", ("partitions", index, what), message)

    def overlaps(self) -> Iterator[Finding]:
        """No two partitions share a byte."""
        placed = sorted(enumerate(self.disk.partitions), key=lambda item: (item[1].start, item[0]))
        reach, holder = 0, -1
        for index, partition in placed:
            if partition.start < reach:
                other = self.disk.partitions[holder].id
                message = f"lies inside the partition '{other}', which ends at {format_size(reach)}"
                yield self.finding("overlap", ("partitions", index, "start"), message)
            if self.end(partition) > reach:
                reach, holder = self.end(partition), index

    def file_systems(self) -> Iterator[Finding]:
        for index, partition in enumerate(self.disk.partitions):
            here: Location = ("partitions", index)
            if partition.type and partition.type_uuid:
                named = PARTITION_TYPES[partition.type]
                if named != partition.type_uuid.upper():
                    message = f"is not the GUID of the type '{partition.type}'"
                    yield self.finding("wrong-value", (*here, "typeUUID"), message, "give one of the two")
            said = {FLAG_TYPES[flag] for flag in partition.flags} - {self.guid(partition)}
            if said:
                of = " or ".join(name for name in ("esp", "bios") if type_guid(name) in said)
                message = f"says what only a partition of the type '{of}' is"
                yield self.finding("wrong-value", (*here, "flags"), message, "remove it", key=True)
            if partition.mount_point and not partition.fs_type:
                message = "is a place for files, but the partition has no fsType"
                yield self.finding("missing-key", (*here, "mountPoint"), message)
            if partition.mount_options and not partition.mount_point:
                message = "is given without a mountPoint"
                yield self.finding("missing-key", (*here, "mountOptions"), message)
            if partition.fs_type in FAT and len(partition.fs_label or "") > FAT_LABEL:
                message = f"is longer than the {FAT_LABEL} characters of a FAT label"
                yield self.finding("wrong-value", (*here, "fsLabel"), message)
            if partition.fs_type in FAT and self.end(partition) - partition.start < SMALLEST_FAT32:
                message = f"is FAT32, which needs at least {format_size(SMALLEST_FAT32)}"
                yield self.finding("too-small", (*here, "fsType"), message)

    def others(self) -> Iterator[Finding]:
        """Partitions beside the two that are written stay empty, so nothing can be mounted from them."""
        if not any(partition.mount_point == "/" for partition in self.disk.partitions):
            return
        for index, partition in enumerate(self.disk.partitions):
            if partition.mount_point != "/" and self.guid(partition) != ESP:
                for key, value in (("fsType", partition.fs_type), ("mountPoint", partition.mount_point)):
                    if value is not None:
                        message = "is not built yet: only '/' and the EFI system partition get a file system"
                        yield self.finding("not-built-yet", ("partitions", index, key), message, "remove it")

    def guid(self, partition: PartitionTemplate) -> str:
        if partition.type or not partition.type_uuid:
            return type_guid(partition.type or "linux")
        return partition.type_uuid.upper()

    def root(self, arch: str) -> Iterator[Finding]:
        roots = [item for item in enumerate(self.disk.partitions) if item[1].mount_point == "/"]
        if not roots:
            yield self.finding("no-root", ("partitions",), "has none with mountPoint '/'", key=True)
        for index, partition in roots:
            here: Location = ("partitions", index)
            if partition.fs_type and partition.fs_type != "ext4":
                message = f"is '{partition.fs_type}' for '/', which is not built yet"
                yield self.finding("not-built-yet", (*here, "fsType"), message, "use ext4")
            other = next((name for a, name in ROOT_TYPE_BY_ARCH.items() if a != arch), None)
            if partition.type == other:
                message = f"is '{other}', but the image is for {arch}"
                hint = f"write {ROOT_TYPE_BY_ARCH[arch]}" if arch in ROOT_TYPE_BY_ARCH else None
                yield self.finding("wrong-value", (*here, "type"), message, hint)

    def esp(self) -> Iterator[Finding]:
        esps = [item for item in enumerate(self.disk.partitions) if self.guid(item[1]) == ESP]
        if len(esps) != 1:
            message = f"has {len(esps) or 'none'} of type 'esp'; to boot by EFI it takes exactly one"
            yield self.finding("no-esp" if not esps else "two-esps", ("partitions",), message, key=True)
        for index, partition in esps:
            if partition.fs_type not in FAT:
                message = "is an EFI system partition without FAT" if partition.fs_type is None else "is not FAT"
                key = ("fsType",) if partition.fs_type else ()
                yield self.finding("wrong-value", ("partitions", index, *key), message, "fsType: fat32")

    def bios(self) -> Iterator[Finding]:
        """GRUB for a BIOS keeps its core in a partition of its own (GRUB's manual, "BIOS installation")."""
        found = [index for index, partition in enumerate(self.disk.partitions) if self.guid(partition) == BIOS]
        if len(found) != 1:
            message = f"has {len(found) or 'none'} of type 'bios'; to boot by a BIOS it takes exactly one"
            hint = "{id: bios, type: bios, start: 1MiB, end: 2MiB}" if not found else None
            yield self.finding("no-bios-partition", ("partitions",), message, hint, key=True)
        for index in found:
            if self.disk.partitions[index].fs_type:
                message = "is of the type 'bios', which holds GRUB and no file system"
                yield self.finding("wrong-value", ("partitions", index, "fsType"), message, "remove it")
        for index, partition in enumerate(self.disk.partitions):
            if partition.mount_point == "/" and partition.fs_type not in (None, "ext4"):
                message = "is what GRUB reads kernel and initrd from where a BIOS starts it, and it reads ext4"
                yield self.finding("wrong-value", ("partitions", index, "fsType"), message, "fsType: ext4")

"""Whether a disk's partitions can be made, and boot: found from the template alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from os_image_composer.config.findings import Location, key_path, where
from os_image_composer.config.partition_roles import (
    HASH_IDS,
    READ_ONLY,
    STATE_IDS,
    Role,
    guid,
    hash_size,
    roles,
)
from os_image_composer.config.partition_types import (
    PARTITION_TYPES,
    ROOT_TYPE_BY_ARCH,
    VERITY_TYPE_BY_ARCH,
    type_guid,
)
from os_image_composer.config.sizes import MIB, format_size
from os_image_composer.config.template import DiskTemplate, PartitionTemplate
from os_image_composer.config.yaml_source import MappingNode
from os_image_composer.errors import Finding, Origin

__all__ = ["check_layout"]

# The first MiB holds the partition table. Its copy takes the last 33 sectors (UEFI 2.10 §5.3.1): a MiB, so
# that the last partition ends aligned.
FIRST = MIB
TAIL = MIB
# Less than 65,525 clusters is FAT16 by definition (Microsoft's FAT specification, "FAT type determination");
# with the smallest cluster, 512 bytes, the data, both tables and the reserved sectors need 33 MiB.
SMALLEST_FAT32 = 34 * MIB
SMALLEST_STATE = 64 * MIB  # /var of the smallest system and a journal
FAT = ("fat32", "vfat")
ROOTS = ("ext4", *READ_ONLY)
# What cannot be kept on the data partition: it is the sealed system itself, or is made anew at each start.
OF_THE_SYSTEM = ("bin", "boot", "dev", "etc", "lib", "lib64", "proc", "run", "sbin", "sys", "tmp", "usr")
FAT_LABEL = 11
FS_LABEL = 16
LABELS = {"erofs": 15, "squashfs": 0}
ESP = type_guid("esp")
BIOS = type_guid("bios")
_BIOS_PARTITION = "{id: bios, type: bios, start: 1MiB, end: 2MiB}"
FLAG_TYPES = {"esp": ESP, "boot": ESP, "bios_grub": BIOS}


def check_layout(
    disk: DiskTemplate,
    node: MappingNode,
    boot_type: str | None,
    arch: str,
    verity: bool = False,
    firmware: Origin | None = None,
) -> tuple[Finding, ...]:
    """What is wrong with `disk`; `node` is the tree it was read from, `arch` the machine that boots it; `verity` says
    whether its root is to be sealed. Where the layout is the OS default's, `firmware` is where a template asks for
    another firmware than that is for."""
    check = _Layout(disk, node, arch, verity)
    return (
        *check.unique(),
        *check.places(),
        *check.overlaps(),
        *check.file_systems(),
        *check.others(),
        *check.root(),
        *check.hash_tree(),
        *check.state(),
        *(check.esp() if boot_type == "efi" else ()),
        *(check.bios(firmware) if boot_type == "legacy" else ()),
    )


class _Layout:
    """The disk under check; each method gives the findings of one rule."""

    def __init__(self, disk: DiskTemplate, node: MappingNode, arch: str, verity: bool) -> None:
        self.disk = disk
        self.node = node
        self.arch = arch
        self.verity = verity
        self.roles = roles(disk.partitions, verity)
        self.last = disk.size - TAIL

    def finding(
        self, reference: str, location: Location, message: str, hint: str | None = None, *, key: bool = False
    ) -> Finding:
        path = key_path(("disk", *location))
        return Finding(reference, f"'{path}' {message}", where(self.node, location, key=key), hint)

    def of(self, role: Role) -> list[tuple[int, PartitionTemplate]]:
        """The partitions of a role, with their numbers in the list."""
        return [entry for entry, its in zip(enumerate(self.disk.partitions), self.roles, strict=True) if its is role]

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
            said = {FLAG_TYPES[flag] for flag in partition.flags} - {guid(partition)}
            if said:
                of = " or ".join(name for name in ("esp", "bios") if type_guid(name) in said)
                message = f"says what only a partition of the type '{of}' is"
                yield self.finding("wrong-value", (*here, "flags"), message, "remove it", key=True)
            if partition.mount_point and not partition.fs_type:
                message = "is a place for files, but the partition has no fsType"
                yield self.finding("missing-key", (*here, "mountPoint"), message)
            if partition.mount_options and not partition.mount_point and self.roles[index] is not Role.STATE:
                message = "is given without a mountPoint"
                yield self.finding("missing-key", (*here, "mountOptions"), message)
            if partition.fs_type in FAT and len(partition.fs_label or "") > FAT_LABEL:
                message = f"is longer than the {FAT_LABEL} characters of a FAT label"
                yield self.finding("wrong-value", (*here, "fsLabel"), message)
            if partition.fs_type in FAT and self.end(partition) - partition.start < SMALLEST_FAT32:
                message = f"is FAT32, which needs at least {format_size(SMALLEST_FAT32)}"
                yield self.finding("too-small", (*here, "fsType"), message)

    def others(self) -> Iterator[Finding]:
        """Filesystems that only a root can have."""
        for index, partition in self.of(Role.OTHER):
            here: Location = ("partitions", index)
            if partition.fs_type in READ_ONLY:
                message = f"is '{partition.fs_type}', which only '/' can have: it would be empty for ever"
                yield self.finding("wrong-value", (*here, "fsType"), message, "use ext4 or fat32")

    def root(self) -> Iterator[Finding]:
        arch, roots = self.arch, self.of(Role.ROOT)
        if not roots:
            yield self.finding("no-root", ("partitions",), "has none with mountPoint '/'", key=True)
        for index, partition in roots:
            here: Location = ("partitions", index)
            if partition.fs_type and partition.fs_type not in ROOTS:
                message = f"is '{partition.fs_type}', which '/' cannot have"
                yield self.finding("wrong-value", (*here, "fsType"), message, f"use {', '.join(ROOTS)}")
            longest = LABELS.get(partition.fs_type or "", FS_LABEL)
            if len(partition.fs_label or "") > longest:
                message = f"is longer than the {longest} characters that a label has in {partition.fs_type}"
                yield self.finding("wrong-value", (*here, "fsLabel"), message, None if longest else "remove it")
            other = next((name for a, name in ROOT_TYPE_BY_ARCH.items() if a != arch), None)
            if partition.type == other:
                message = f"is '{other}', but the image is for {arch}"
                hint = f"write {ROOT_TYPE_BY_ARCH[arch]}" if arch in ROOT_TYPE_BY_ARCH else None
                yield self.finding("wrong-value", (*here, "type"), message, hint)

    def esp(self) -> Iterator[Finding]:
        esps = [item for item in enumerate(self.disk.partitions) if guid(item[1]) == ESP]
        if len(esps) != 1:
            message = f"has {len(esps) or 'none'} of type 'esp'; to boot by EFI it takes exactly one"
            yield self.finding("no-esp" if not esps else "two-esps", ("partitions",), message, key=True)
        for index, partition in esps:
            if partition.fs_type not in FAT:
                message = "is an EFI system partition without FAT" if partition.fs_type is None else "is not FAT"
                key = ("fsType",) if partition.fs_type else ()
                yield self.finding("wrong-value", ("partitions", index, *key), message, "fsType: fat32")

    def bios(self, asked: Origin | None) -> Iterator[Finding]:
        """GRUB for a BIOS keeps its core in a partition of its own (GRUB's manual, "BIOS installation")."""
        found = [index for index, partition in enumerate(self.disk.partitions) if guid(partition) == BIOS]
        if len(found) != 1:
            message = f"has {len(found) or 'none'} of type 'bios'; to boot by a BIOS it takes exactly one"
            hint = _BIOS_PARTITION if not found else None
            if asked is not None:
                hint = f"write a 'disk' of your own, whose first partition is {_BIOS_PARTITION}"
            found_at = self.finding("no-bios-partition", ("partitions",), message, hint, key=True)
            yield replace(found_at, origin=asked or found_at.origin)
        for index in found:
            if self.disk.partitions[index].fs_type:
                message = "is of the type 'bios', which holds GRUB and no file system"
                yield self.finding("wrong-value", ("partitions", index, "fsType"), message, "remove it")
        for index, partition in enumerate(self.disk.partitions):
            if partition.mount_point == "/" and partition.fs_type not in (None, "ext4"):
                message = "is what GRUB reads kernel and initrd from where a BIOS starts it, and it reads ext4"
                yield self.finding("wrong-value", ("partitions", index, "fsType"), message, "fsType: ext4")

    def hash_tree(self) -> Iterator[Finding]:
        """A sealed root has one partition for its hash tree, and that has room for it."""
        roots, trees = self.of(Role.ROOT), self.of(Role.HASH)
        if not self.verity or not roots:
            return
        data = self.end(roots[0][1]) - roots[0][1].start
        needed = hash_size(data)
        room = format_size(-(-needed // MIB) * MIB)
        how = f"over {format_size(data)} the hash tree takes {format_size(needed)}"
        if len(trees) != 1:
            message = f"has {len(trees) or 'none'} for the hash tree of '/'; a sealed root takes exactly one"
            hint = f"{how}: add one with 'id: {HASH_IDS[0]}' and {room} or more, or systemConfig.immutability: " + (
                "{enabled: false}"
            )
            yield self.finding(
                "no-hash-partition" if not trees else "two-hashes", ("partitions",), message, hint, key=True
            )
        for index, partition in trees:
            here: Location = ("partitions", index)
            if 0 < self.end(partition) - partition.start < needed:
                message = f"is too small for the hash tree of '/': {format_size(self.end(partition) - partition.start)}"
                yield self.finding("too-small", here, message, f"{how}: give it {room} or more")
            if guid(partition) not in (type_guid("linux"), self._verity_guid()):
                key = "type" if partition.type else "typeUUID"
                named = VERITY_TYPE_BY_ARCH.get(self.arch)
                message = "is not that of a hash tree"
                yield self.finding("wrong-value", (*here, key), message, f"write {named}, or leave it out")
            # The predecessor's layouts have `fsType: ext4` here; what lies in it is the tree all the same.
            for name, value, fits in (
                ("fsType", partition.fs_type, partition.fs_type in (None, "ext4")),
                ("fsLabel", partition.fs_label, partition.fs_label is None),
                ("mountPoint", partition.mount_point, partition.mount_point is None),
            ):
                if not fits:
                    message = f"is '{value}', but the partition holds a hash tree and no files"
                    yield self.finding("wrong-value", (*here, name), message, "remove it")

    def _verity_guid(self) -> str | None:
        named = VERITY_TYPE_BY_ARCH.get(self.arch)
        return type_guid(named) if named else None

    def state(self) -> Iterator[Finding]:
        """A root that cannot be written to has one partition for what changes."""
        roots, found = self.of(Role.ROOT), self.of(Role.STATE)
        if not roots or not (self.verity or roots[0][1].fs_type in READ_ONLY):
            return
        if len(found) != 1:
            why = "is sealed" if self.verity else f"is {roots[0][1].fs_type}"
            message = f"has {len(found) or 'none'} for what changes, and '/' {why}; it takes exactly one"
            hint = f"add one with 'id: {STATE_IDS[0]}' and 'fsType: ext4', best as the last"
            yield self.finding(
                "no-data-partition" if not found else "two-data-partitions", ("partitions",), message, hint, key=True
            )
        for index, partition in found:
            here: Location = ("partitions", index)
            size = self.end(partition) - partition.start
            if partition.fs_type != "ext4":
                message = "holds what changes on a root that cannot be written to, and is not ext4"
                yield self.finding(
                    "wrong-value", (*here, *(("fsType",) if partition.fs_type else ())), message, "fsType: ext4"
                )
            if 0 < size < SMALLEST_STATE:
                message = f"is too small for what changes: {format_size(size)}"
                yield self.finding("too-small", here, message, f"give it {format_size(SMALLEST_STATE)} or more")
            if partition.mount_point and partition.mount_point.split("/")[1] in OF_THE_SYSTEM:
                message = f"is '{partition.mount_point}', which cannot be kept on the data partition"
                hint = "/etc, /home, /root, /srv and /var are there without it; name another folder, such as /opt"
                yield self.finding("wrong-value", (*here, "mountPoint"), message, hint)

"""What each partition of a disk is for: found from the template's words alone.

The ids are those of the tool's predecessor, whose layouts can be read, and shorter ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Protocol

from os_image_composer.config.partition_types import VERITY_TYPE_BY_ARCH, type_guid

__all__ = ["HASH_IDS", "READ_ONLY", "STATE_IDS", "Role", "hash_size", "is_hash", "roles"]

HASH_IDS = ("hash", "roothashmap")
STATE_IDS = ("data", "userdata")
READ_ONLY = ("erofs", "squashfs")  # filesystems that nothing can be written to

_ESP = type_guid("esp")
_VERITY = {type_guid(name) for name in VERITY_TYPE_BY_ARCH.values()}
_BLOCK = 4096
_DIGESTS = _BLOCK // 32  # SHA-256 digests that a block of the hash tree has room for


class Role(Enum):
    """`HASH` holds the hash tree of the root; `STATE`, the data partition, all that a system with a root that cannot be
    written to changes; `OTHER` has files of its own, or nothing."""

    ROOT = "root"
    ESP = "esp"
    HASH = "hash"
    STATE = "state"
    OTHER = "other"


class Described(Protocol):
    """A partition as a template has it, or as a spec."""

    @property
    def id(self) -> str: ...
    @property
    def type(self) -> str | None: ...
    @property
    def type_uuid(self) -> str | None: ...
    @property
    def fs_type(self) -> str | None: ...
    @property
    def mount_point(self) -> str | None: ...


def roles(partitions: Sequence[Described], verity: bool) -> tuple[Role, ...]:
    """Of each partition, where the root is sealed with dm-verity or not. A root that cannot be written to has a data
    partition; beside any other root the same partition is one like others."""
    read_only = verity or any(p.mount_point == "/" and p.fs_type in READ_ONLY for p in partitions)
    return tuple(_role(p, verity, read_only) for p in partitions)


def is_hash(partition: Described) -> bool:
    """Whether a partition is meant for a hash tree, by its id or its type."""
    return partition.id in HASH_IDS or guid(partition) in _VERITY


def guid(partition: Described) -> str:
    """The partition's type, in upper case."""
    if partition.type or not partition.type_uuid:
        return type_guid(partition.type or "linux")
    return partition.type_uuid.upper()


def hash_size(data: int) -> int:
    """Bytes of the hash tree over `data` bytes: its superblock, and blocks of digests until one has them all, with
    blocks of 4 KiB and SHA-256 (cryptsetup wiki, "DMVerity", hash area)."""
    blocks, total = -(-data // _BLOCK), 1
    while blocks > 1:
        blocks = -(-blocks // _DIGESTS)
        total += blocks
    return total * _BLOCK


def _role(partition: Described, verity: bool, read_only: bool) -> Role:
    if partition.mount_point == "/":
        return Role.ROOT
    if guid(partition) == _ESP:
        return Role.ESP
    if verity and is_hash(partition):
        return Role.HASH
    return Role.STATE if read_only and partition.id in STATE_IDS else Role.OTHER

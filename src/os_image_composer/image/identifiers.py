"""Identifiers that would else be random: UUIDv5 (RFC 9562 §5.5) of the lock's seed and what they are for."""

from __future__ import annotations

from uuid import UUID, uuid5


def derived_uuid(seed: str, *purpose: str) -> UUID:
    """The same UUID for the same lock and purpose, another one for any other."""
    return uuid5(UUID(seed), "/".join(purpose))


def fat_serial(uuid: UUID) -> str:
    """A FAT volume serial number as `blkid` and fstab write it: `ABCD-1234`."""
    text = f"{uuid.int >> 96:08X}"
    return f"{text[:4]}-{text[4:]}"

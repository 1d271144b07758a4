"""What the sandbox takes and gives beside jobs: archives, digests, surveys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO, NamedTuple, Protocol


class TarSource(Protocol):
    """An archive to unpack."""

    @property
    def name(self) -> str:
        """What messages call it."""

    def open(self) -> BinaryIO:
        """A new stream of the uncompressed tar; read in a thread of its own, so it may decompress meanwhile."""


@dataclass(frozen=True)
class TreeDigest:
    """`bytes` is the apparent size of the regular files, hard links counted once."""

    sha256: str
    entries: int
    bytes: int


class Xattr(NamedTuple):
    """An extended attribute as it is seen inside; `path` has no leading slash and is empty for the root."""

    path: str
    name: str
    value: bytes


class Entry(NamedTuple):
    """Something in a tree. `path` has no leading slash and is empty for the root; `type` is that of st_mode (S_IFMT of
    stat(2)); `first` is the path that comes first of those that name the same file, its own where there is one only."""

    path: str
    type: int
    first: str


@dataclass(frozen=True)
class Survey:
    """What a filesystem must have room for: entries with the root, apparent bytes, attributes by path."""

    entries: int
    bytes: int
    xattrs: tuple[Xattr, ...]

"""dm-verity: the hash tree of a partition, and whether data, tree and root hash belong together.

Source: Linux, Documentation/admin-guide/device-mapper/verity.rst (order of the levels, salt before the block: version
1); cryptsetup wiki, "DMVerity" (superblock). Sizes are bytes, blocks are numbered from 0.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from os_image_composer.formats.window import FormatError, Window

MAGIC = b"verity\0\0"
_SUPERBLOCK = struct.Struct("<8sII16s32sIIQH6x256s168x")
_DIGEST_SIZES = {"sha256": 32, "sha512": 64}
_BLOCK_SIZES = tuple(1 << n for n in range(9, 17))
_DEEPEST = 16
_TOLD = 16  # damaged blocks that are named; the others are counted
_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class Superblock:
    """What the first block of a hash partition says: `algorithm` as hashlib names it; `salt` goes before each block
    when it is hashed."""

    uuid: UUID
    algorithm: str
    data_block: int
    hash_block: int
    data_blocks: int
    salt: bytes

    @property
    def data_size(self) -> int:
        return self.data_blocks * self.data_block


@dataclass(frozen=True)
class TreeCheck:
    """`root` is whether the root hash is that of this tree; `tree` and `data` are numbers of blocks that are not what
    the level above them says, the first few of each, and `damaged` how many there are in all. Blocks below a damaged
    one of the tree are not looked at: nothing says what they should be."""

    root: bool
    tree: tuple[int, ...] = ()
    data: tuple[int, ...] = ()
    damaged: int = 0

    @property
    def sound(self) -> bool:
        return self.root and not self.damaged


def read_superblock(hashes: Window) -> Superblock:
    """Raises FormatError where `hashes` is no hash partition with a superblock of version 1, or of an algorithm that is
    not read here."""
    head = hashes.head(_SUPERBLOCK.size)
    if len(head) < _SUPERBLOCK.size or not head.startswith(MAGIC):
        raise FormatError("no verity superblock")
    _, version, kind, uuid, name, data_block, hash_block, blocks, salt_size, salt = _SUPERBLOCK.unpack(head)
    algorithm = name.rstrip(b"\0").decode("ascii", "replace")
    if (version, kind) != (1, 1) or salt_size > 256:
        raise FormatError(f"verity of version {version}, type {kind}, salt of {salt_size} bytes")
    if algorithm not in _DIGEST_SIZES:
        raise FormatError(f"verity with {algorithm!r}")
    if data_block not in _BLOCK_SIZES or hash_block not in _BLOCK_SIZES:
        raise FormatError(f"verity blocks of {data_block} and {hash_block} bytes")
    return Superblock(UUID(bytes=uuid), algorithm, data_block, hash_block, blocks, salt[:salt_size])


def check_tree(data: Window, hashes: Window, root_hash: bytes) -> TreeCheck:
    """Hash everything that a machine would, from the root hash down to the last block of data. Reads both whole.
    Raises FormatError where they cannot belong together."""
    block = read_superblock(hashes)
    if block.data_size > data.size:
        raise FormatError(f"verity over {block.data_size} bytes, in a partition of {data.size}")
    size = _DIGEST_SIZES[block.algorithm]
    if len(root_hash) != size or not block.data_blocks:
        return TreeCheck(root=False)
    tree: list[int] = []
    damaged = 0
    expected = root_hash
    unknown = bytes(size)  # what a block of the tree would say that is damaged itself
    for first, count in _levels(block, size):
        below = bytearray()
        for number, content in enumerate(_blocks(hashes, first, count, block.hash_block)):
            wanted = expected[number * size : (number + 1) * size]
            if _digest(block, content) == wanted:
                below += content
                continue
            if expected is root_hash:
                return TreeCheck(root=False)
            below += bytes(block.hash_block)
            if tree and wanted == unknown:
                continue
            damaged += 1
            if len(tree) < _TOLD:
                tree.append(first + number)
        expected = bytes(below)
    bad: list[int] = []
    for number, content in enumerate(_blocks(data, 0, block.data_blocks, block.data_block)):
        wanted = expected[number * size : (number + 1) * size]
        if _digest(block, content) != wanted and (wanted != unknown or not tree):
            if expected is root_hash:
                return TreeCheck(root=False)
            damaged += 1
            if len(bad) < _TOLD:
                bad.append(number)
    return TreeCheck(True, tuple(tree), tuple(bad), damaged)


def _levels(block: Superblock, size: int) -> list[tuple[int, int]]:
    """First block and number of blocks of each level of the tree, from the top; none for a single block of data."""
    fan = block.hash_block // size
    counts = []
    count = block.data_blocks
    while count > 1:
        count = -(-count // fan)
        counts.append(count)
        if len(counts) > _DEEPEST:
            raise FormatError("a hash tree of too many levels")
    levels = []
    at = -(-_SUPERBLOCK.size // block.hash_block)
    for count in reversed(counts):
        levels.append((at, count))
        at += count
    return levels


def _blocks(window: Window, first: int, count: int, size: int) -> Iterator[bytes]:
    """`count` blocks of `size` bytes from the block `first` on. Raises FormatError where the window ends before."""
    end = (first + count) * size
    for start in range(first * size, end, _AT_ONCE):
        piece = window.read(start, min(_AT_ONCE, end - start))
        for at in range(0, len(piece), size):
            yield piece[at : at + size]


def _digest(block: Superblock, content: bytes) -> bytes:
    return hashlib.new(block.algorithm, block.salt + content).digest()

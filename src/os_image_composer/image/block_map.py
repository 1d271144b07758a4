"""A block map of a raw disk: which blocks a flashing program writes, with the checksum of each run of them.

Source: bmap-tools, `BmapCreate.py` and `BmapCopy.py`, format 2.0. Numbers are of blocks, the last one included.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from os_image_composer.build.step import Kind, Work
from os_image_composer.chroot.services import Services
from os_image_composer.formats.needed_space import BLOCK, needed_blocks
from os_image_composer.formats.window import FileSource

FILE = "bmap"
_READ = 1 << 20
_UNKNOWN = "0" * 64  # in place of the file's own checksum while that is computed


@dataclass(frozen=True)
class WriteBlockMap:
    """Of the raw disk that is the step's input."""

    kind: ClassVar[str] = "write-block-map"
    version: ClassVar[int] = 2
    result: ClassVar[Kind] = Kind.FILES

    def run(self, work: Work[Services]) -> None:
        (work.output / FILE).write_text(block_map(work.one("disk")))


@dataclass(frozen=True)
class _Run:
    first: int
    last: int
    sha256: str


def block_map(image: Path) -> str:
    """The map of a raw disk, as XML."""
    size = image.stat().st_size
    # Every byte at most three times: to see whether it is zeros, twice, and to hash it.
    with FileSource(image, allowance=4 * size + (1 << 30)) as source:
        runs = [_Run(first, last, _sha256(source, first, last)) for first, last in needed_blocks(source)]
    text = _xml(size, runs, _UNKNOWN)
    return _xml(size, runs, hashlib.sha256(text.encode()).hexdigest())


def _sha256(source: FileSource, first: int, last: int) -> str:
    digest, end = hashlib.sha256(), min((last + 1) * BLOCK, source.size)
    for at in range(first * BLOCK, end, _READ):
        digest.update(source.read(at, min(_READ, end - at)))
    return digest.hexdigest()


def _xml(size: int, runs: Sequence[_Run], own: str) -> str:
    mapped = sum(run.last - run.first + 1 for run in runs)
    lines = [
        '<?xml version="1.0" ?>',
        '<bmap version="2.0">',
        f"    <ImageSize> {size} </ImageSize>",
        f"    <BlockSize> {BLOCK} </BlockSize>",
        f"    <BlocksCount> {-(-size // BLOCK)} </BlocksCount>",
        f"    <MappedBlocksCount> {mapped} </MappedBlocksCount>",
        "    <ChecksumType> sha256 </ChecksumType>",
        f"    <BmapFileChecksum> {own} </BmapFileChecksum>",
        "    <BlockMap>",
    ]
    for run in runs:
        blocks = str(run.first) if run.first == run.last else f"{run.first}-{run.last}"
        lines.append(f'        <Range chksum="{run.sha256}"> {blocks} </Range>')
    return "\n".join([*lines, "    </BlockMap>", "</bmap>", ""])

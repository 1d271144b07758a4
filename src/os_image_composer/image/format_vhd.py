"""What a VHD says of itself, made a function of the disk in it.

Source: Microsoft, "Virtual Hard Disk Image Format Specification" 1.0, "Hard Disk Footer Format". Numbers are
big-endian. The footer is the last 512 bytes; a dynamic disk begins with a copy of it.
"""

from __future__ import annotations

import struct
from typing import BinaryIO
from uuid import UUID

FOOTER = 512
COOKIE = b"conectix"
# Seconds since 2000-01-01 UTC, by the clock of who wrote it. What nobody reads says the same always: a file that was
# converted later, from the disk alone, is to be the same.
_CREATED = 0


def settle_vhd(file: BinaryIO, identifier: UUID) -> None:
    """Give the file this unique id and a fixed date. Raises ValueError for one that ends in no footer."""
    end = file.seek(-FOOTER, 2)
    footer = bytearray(file.read(FOOTER))
    if footer[:8] != COOKIE:
        raise ValueError("no footer at the end")
    struct.pack_into(">I", footer, 24, _CREATED)
    footer[68:84] = identifier.bytes
    struct.pack_into(">I", footer, 64, 0)
    struct.pack_into(">I", footer, 64, ~sum(footer) & 0xFFFFFFFF)
    file.seek(0)
    copied = file.read(len(COOKIE)) == COOKIE
    for place in (0, end) if copied else (end,):
        file.seek(place)
        file.write(footer)

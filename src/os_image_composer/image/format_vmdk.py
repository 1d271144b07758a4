"""What a VMDK says of itself, made a function of the disk in it.

Source: VMware, "Virtual Disk Format" 5.0: a sparse extent begins with a header (`SparseExtentHeader`, little-endian)
that has the place of the descriptor in sectors; the descriptor is text, padded with NUL. The content id (CID) is a
number of 32 bits that changes whenever the content does.
"""

from __future__ import annotations

import re
import struct
from typing import BinaryIO

MAGIC = b"KDMV"
_SECTOR = 512
_CID = re.compile(rb"(?m)^CID=[0-9a-f]+$")


def settle_vmdk(file: BinaryIO, content: int) -> None:
    """Give the disk this content id. Raises ValueError for a file without a descriptor that has one."""
    file.seek(0)
    header = file.read(_SECTOR)
    if header[:4] != MAGIC:
        raise ValueError("no sparse extent")
    start, sectors = struct.unpack_from("<QQ", header, 28)
    file.seek(start * _SECTOR)
    room = sectors * _SECTOR
    text, found = _CID.subn(b"CID=%08x" % content, file.read(room).rstrip(b"\0"))
    if found != 1 or len(text) >= room:
        raise ValueError("no content id in the descriptor")
    file.seek(start * _SECTOR)
    file.write(text.ljust(room, b"\0"))

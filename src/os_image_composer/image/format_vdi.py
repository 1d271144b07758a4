"""What a VDI says of itself, made a function of the disk in it.

Source: VirtualBox, `VDICore.h`, and QEMU, `block/vdi.c`: the header of version 1.1 has the UUID of the disk at 392 and
that of its last change at 408, as Microsoft writes GUIDs.
"""

from __future__ import annotations

import struct
from typing import BinaryIO
from uuid import UUID

SIGNATURE = (64, struct.pack("<I", 0xBEDA107F))
_UUIDS = 392


def settle_vdi(file: BinaryIO, identifier: UUID, changed: UUID) -> None:
    """Give the disk these UUIDs. Raises ValueError for a file that is no VDI of version 1.1."""
    place, signature = SIGNATURE
    file.seek(place)
    if file.read(8) != signature + struct.pack("<HH", 1, 1):
        raise ValueError("no VDI of version 1.1")
    file.seek(_UUIDS)
    file.write(identifier.bytes_le + changed.bytes_le)

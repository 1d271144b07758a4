"""Which format of a hypervisor a file has, how large the disk in it is, and whether all of that disk is in it.

Source: QEMU's docs/interop/qcow2.rst; VMware's "Virtual Disk Format" 5.0; Microsoft's VHD specification 1.0 and
[MS-VHDX]; VirtualBox's VDICore.h. Sizes are bytes. A file that names others is told: who opens it would open these.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from os_image_composer.formats import vhdx
from os_image_composer.formats.window import FormatError, Window

_SECTOR = 512
_LARGEST = 1 << 46
_MOST_TEXT = 1 << 20


@dataclass(frozen=True)
class VirtualDisk:
    """`format` is qcow2, vhd, vhdx, vmdk or vdi; `elsewhere` says in words which part of the disk is in another file,
    None where there is none."""

    format: str
    size: int
    elsewhere: str | None = None


def recognise(file: Window) -> VirtualDisk | None:
    """None for a file that is none of these. Raises FormatError for one with impossible numbers."""
    for look in (_qcow2, _vmdk, _vhdx, _vdi, _vhd):
        found = look(file)
        if found is not None:
            if not 0 < found.size <= _LARGEST:
                raise FormatError(f"a {found.format} that claims a disk of {found.size} bytes")
            return found
    return None


def _qcow2(file: Window) -> VirtualDisk | None:
    head = file.head(104)
    if head[:4] != b"QFI\xfb":
        return None
    if len(head) < 104:
        raise FormatError("a qcow2 that ends within its header")
    version, backing = struct.unpack_from(">IQ", head, 4)
    (size,) = struct.unpack_from(">Q", head, 24)
    if version not in (2, 3):
        raise FormatError(f"a qcow2 of version {version}")
    (features,) = struct.unpack_from(">Q", head, 72) if version == 3 else (0,)
    elsewhere = (
        "it stands on a backing file" if backing else "its data is in a file of its own" if features & 4 else None
    )
    return VirtualDisk("qcow2", size, elsewhere)


def _vmdk(file: Window) -> VirtualDisk | None:
    head = file.head(_SECTOR)
    if head[:21] == b"# Disk DescriptorFile" or head[:4] == b"COWD":
        return VirtualDisk("vmdk", _SECTOR, "its data is in files of its own")
    if head[:4] != b"KDMV":
        return None
    if len(head) < _SECTOR:
        raise FormatError("a vmdk that ends within its header")
    (sectors,) = struct.unpack_from("<Q", head, 12)
    start, length = struct.unpack_from("<QQ", head, 28)
    if not sectors:
        return VirtualDisk("vmdk", _SECTOR, "its data is in files of its own")
    text = file.read(start * _SECTOR, min(length * _SECTOR, _MOST_TEXT))
    parent = b"parentFileNameHint" in text
    return VirtualDisk("vmdk", sectors * _SECTOR, "it stands on a parent" if parent else None)


def _vhdx(file: Window) -> VirtualDisk | None:
    if file.head(len(vhdx.SIGNATURE)) != vhdx.SIGNATURE:
        return None
    (size,) = struct.unpack("<Q", vhdx.metadata_item(file, vhdx.DISK_SIZE).read(0, 8))
    (flags,) = struct.unpack("<I", vhdx.metadata_item(file, vhdx.FILE_PARAMETERS).read(4, 4))
    return VirtualDisk("vhdx", size, "it stands on a parent" if flags & 2 else None)


def _vdi(file: Window) -> VirtualDisk | None:
    head = file.head(_SECTOR)
    if head[64:68] != struct.pack("<I", 0xBEDA107F):
        return None
    if len(head) < _SECTOR:
        raise FormatError("a vdi that ends within its header")
    (kind,) = struct.unpack_from("<I", head, 76)
    (size,) = struct.unpack_from("<Q", head, 368)
    return VirtualDisk("vdi", size, None if kind in (1, 2) else "it stands on a parent")


def _vhd(file: Window) -> VirtualDisk | None:
    """A fixed one is the disk and a footer behind it; the others have a copy of the footer in front as well."""
    if file.size < 2 * _SECTOR:
        return None
    footer = file.read(file.size - _SECTOR, _SECTOR)
    in_front = file.head(8) == b"conectix"
    if footer[:8] != b"conectix":
        if in_front:
            raise FormatError("a vhd that does not end in its footer")
        return None
    (size,) = struct.unpack_from(">Q", footer, 48)
    (kind,) = struct.unpack_from(">I", footer, 60)
    if in_front is (kind == 2) or (kind == 2 and size > file.size - _SECTOR):
        raise FormatError("a vhd whose footer tells of another file")
    return VirtualDisk("vhd", size, None if kind in (2, 3) else "it stands on a parent")

"""Which filesystem, or other content, is in a partition, and the two of them that files are read from.

Magic numbers as blkid(8) knows them; each from the format's own documentation, named beside it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from uuid import UUID

from os_image_composer.formats.ext4 import Ext4
from os_image_composer.formats.fat import Fat
from os_image_composer.formats.filesystem import FileSystem, Volume
from os_image_composer.formats.window import FormatError, Window


def open_filesystem(window: Window) -> FileSystem | None:
    """A reader of the files in `window`; None where they are not of a kind that can be read. Raises FormatError where
    the kind can be read and this one is damaged."""
    if window.head(2, 1024 + 56) == b"\x53\xef":
        return Ext4(window)
    boot = window.head(512)
    # FAT: "FAT12   ", "FAT16   " or "FAT32   " by whoever made it, which all tools of today write.
    if len(boot) == 512 and (boot[54:57] == b"FAT" or boot[82:87] == b"FAT32"):
        return Fat(window)
    return None


def identify(window: Window) -> Volume | None:
    """What is in `window`, by its magic number alone; None where it is nothing known."""
    for look in _LOOKS:
        try:
            found = look(window)
        except (FormatError, struct.error):
            continue
        if found is not None:
            return found
    return None


def _text(data: bytes) -> str | None:
    return data.split(b"\0", 1)[0].decode("utf-8", "replace").strip() or None


def _ext(window: Window) -> Volume | None:
    if window.head(2, 1024 + 56) != b"\x53\xef":
        return None
    return Volume("ext", str(UUID(bytes=window.read(1024 + 104, 16))), _text(window.read(1024 + 120, 16)))


def _squashfs(window: Window) -> Volume | None:
    """Documentation/filesystems/squashfs.rst; struct squashfs_super_block."""
    if window.head(4) != b"hsqs":
        return None
    head = window.read(0, 96)
    (block_size,) = struct.unpack_from("<I", head, 12)
    (used,) = struct.unpack_from("<Q", head, 40)
    return Volume("squashfs", size=used, used=used, block_size=block_size)


def _erofs(window: Window) -> Volume | None:
    """fs/erofs/erofs_fs.h, struct erofs_super_block."""
    head = window.head(128, 1024)
    if head[:4] != b"\xe2\xe1\xf5\xe0" or len(head) < 128 or head[12] > 16:
        return None
    size = struct.unpack_from("<I", head, 36)[0] << head[12]
    return Volume("erofs", str(UUID(bytes=head[48:64])), _text(head[64:80]), size, size, 1 << head[12])


def _xfs(window: Window) -> Volume | None:
    """XFS Algorithms and Data Structures, "Superblocks"."""
    head = window.head(512)
    if head[:4] != b"XFSB" or len(head) < 512:
        return None
    block_size, blocks = struct.unpack_from(">IQ", head, 4)
    (free,) = struct.unpack_from(">Q", head, 144)
    size = block_size * blocks
    used = max(blocks - free, 0) * block_size
    return Volume("xfs", str(UUID(bytes=head[32:48])), _text(head[108:120]), size, used, block_size)


def _btrfs(window: Window) -> Volume | None:
    """Btrfs documentation, "On-disk format", superblock at 64 KiB."""
    head = window.head(1024, 0x10000)
    if head[64:72] != b"_BHRfS_M" or len(head) < 1024:
        return None
    size, used = struct.unpack_from("<QQ", head, 112)
    return Volume("btrfs", str(UUID(bytes=head[32:48])), _text(head[299:555]), size, used)


def _swap(window: Window) -> Volume | None:
    """mkswap(8): the signature ends the first page, whatever its size."""
    for page in (4096, 8192, 16384, 65536):
        if window.head(10, page - 10) == b"SWAPSPACE2":
            return Volume("swap", str(UUID(bytes=window.read(1024 + 12, 16))), _text(window.read(1024 + 28, 16)))
    return None


def _luks(window: Window) -> Volume | None:
    """LUKS2 On-Disk Format Specification §2.1, and LUKS1's §2."""
    head = window.head(208)
    if head[:6] != b"LUKS\xba\xbe" or len(head) < 208:
        return None
    version = struct.unpack_from(">H", head, 6)[0]
    return Volume("crypto_LUKS", _text(head[168:208]), _text(head[24:72]) if version == 2 else None)


def _verity(window: Window) -> Volume | None:
    """cryptsetup wiki, "DMVerity", superblock."""
    head = window.head(32)
    return Volume("DM_verity_hash", str(UUID(bytes=window.read(16, 16)))) if head[:8] == b"verity\0\0" else None


def _lvm(window: Window) -> Volume | None:
    """LVM2's label, in the second sector."""
    head = window.head(32, 512)
    return Volume("LVM2_member") if head[:8] == b"LABELONE" and head[24:32] == b"LVM2 001" else None


def _iso9660(window: Window) -> Volume | None:
    """ECMA-119 §8.4, primary volume descriptor."""
    head = window.head(2048, 0x8000)
    return Volume("iso9660", label=_text(head[40:72])) if head[1:6] == b"CD001" else None


def _fat(window: Window) -> Volume | None:
    boot = window.head(512)
    return Volume("vfat") if boot[54:57] == b"FAT" or boot[82:87] == b"FAT32" else None


_LOOKS: tuple[Callable[[Window], Volume | None], ...] = (
    *(_luks, _verity, _lvm, _squashfs, _erofs, _xfs, _btrfs, _iso9660, _swap, _ext, _fat),
)

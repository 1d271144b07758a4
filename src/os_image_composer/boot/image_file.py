"""Is this file a disk that firmware could start from? Asked before a minute is spent on a virtual machine."""

from __future__ import annotations

from pathlib import Path

from os_image_composer.errors import BootError
from os_image_composer.formats.virtual_disk import recognise
from os_image_composer.formats.window import FileSource, FormatError, Window

_SECTOR = 512
_ENOUGH = 64 * 1024
_UNPACK = "unpack it: os-image-composer convert IMAGE --to raw"
#: What QEMU calls the formats that it can attach, by their names here.
_DRIVERS = {"qcow2": "qcow2", "vhd": "vpc", "vhdx": "vhdx", "vmdk": "vmdk", "vdi": "vdi"}
#: How files begin that people take for raw images: offset, bytes, what it is, and how it becomes a disk.
_OTHERS = (
    (0, b"\x28\xb5\x2f\xfd", "compressed with zstd", _UNPACK),
    (0, b"\xfd7zXZ\0", "compressed with xz", _UNPACK),
    (0, b"\x1f\x8b", "compressed with gzip", _UNPACK),
    (0, b"BZh", "compressed with bzip2", _UNPACK),
    (257, b"ustar", "a tar archive", None),
    (0, b"PK\x03\x04", "a ZIP archive", "unpack it"),
    (1080, b"\x53\xef", "an ext filesystem without a partition table", None),
    (32769, b"CD001", "an ISO 9660 image without a partition table", None),
)


def check_image(path: Path) -> str:
    """QEMU's name of the file's format. Raises BootError unless `path` is a readable file that is a disk in the format
    of a hypervisor, all of which is in it, or has a partition table: GPT (UEFI specification §5.3, with sectors of 512
    or 4096 bytes) or MBR (§5.2.1)."""
    try:
        if not path.is_file():
            cause = "it is a folder" if path.is_dir() else None
            raise BootError("boot-image-missing", f"there is no image {path}", cause=cause)
        with path.open("rb") as file:
            start = file.read(_ENOUGH)
        driver = _virtual_disk(path)
    except OSError as error:
        raise BootError("boot-image-unreadable", f"{path} cannot be read", cause=error.strerror) from error
    if driver is not None:
        return driver
    if any(start[size : size + 8] == b"EFI PART" for size in (_SECTOR, 4096)) or _has_mbr(start):
        return "raw"
    for offset, magic, words, mend in _OTHERS:
        if start[offset : offset + len(magic)] == magic:
            raise BootError("boot-not-an-image", f"{path} is no disk image", cause=f"it is {words}", hint=mend)
    cause = "it is empty" if not start else "it has no partition table"
    raise BootError("boot-not-an-image", f"{path} is no disk image", cause=cause, hint="give the .raw file of a build")


def _virtual_disk(path: Path) -> str | None:
    """QEMU's name of the format of a hypervisor; None for another file. QEMU opens whatever file a disk names, so one
    that names any is refused."""
    try:
        with FileSource(path) as source:
            found = recognise(Window.over(source))
    except FormatError as error:
        raise BootError("boot-not-an-image", f"{path} is no disk image", cause=f"it is {error}") from error
    if found is None:
        return None
    if found.elsewhere:
        raise BootError(
            "boot-image-in-parts",
            f"{path} is not the whole disk",
            cause=found.elsewhere,
            hint="make one file of it with the program that wrote it, such as qemu-img convert",
        )
    return _DRIVERS[found.format]


def is_iso(path: Path) -> bool:
    """Whether there is a CD's filesystem in the file (ECMA-119 §8.1), with a partition table around it or without."""
    with path.open("rb") as file:
        file.seek(32769)
        return file.read(5) == b"CD001"


def _has_mbr(start: bytes) -> bool:
    """The signature, and a partition that is not empty: a boot sector of a filesystem has the signature, too."""
    types = [start[446 + 16 * n + 4] for n in range(4)] if len(start) >= _SECTOR else []
    return start[510:512] == b"\x55\xaa" and any(types) and start[3:11] not in (b"mkfs.fat", b"NTFS    ", b"MSDOS5.0")

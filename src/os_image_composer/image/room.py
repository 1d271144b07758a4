"""Does the root partition hold its packages? Told from the lock, before anything is fetched or installed.

Only what cannot fit is refused: the sizes that packages declare (Debian Policy §5.6.20 and its like) are estimates,
and the last word is mke2fs's.
"""

from __future__ import annotations

from pathlib import Path

from os_image_composer.config.sizes import MIB, format_size
from os_image_composer.config.spec import ImageSpec, Partition
from os_image_composer.errors import TemplateError
from os_image_composer.image.layout import lay_out
from os_image_composer.ospackage.lock import Lock

_SPARE = 1.15  # what a suggestion leaves free: logs, caches, the next update
_ROUND = 64 * MIB
# mke2fs(8): one inode of 256 bytes for each 16 KiB, and a journal that grows with the file system (ext4's
# ext2fs_default_journal_size: 16 MiB from 128 MiB on, 32 from 1 GiB, 64 from 2 GiB).
_INODES = 256 / 16384
_JOURNALS = ((2048 * MIB, 64 * MIB), (1024 * MIB, 32 * MIB), (128 * MIB, 16 * MIB), (0, 4 * MIB))


def installed_size(spec: ImageSpec, lock: Lock) -> int:
    """Bytes that the image's packages say they take, and the template's own files."""
    packages = sum(package.installed_size for package in lock.sets["image"].packages())
    return packages + sum(_size(file.local) for file in spec.additional_files)


def usable(size: int) -> int:
    """Bytes of an ext4 file system of `size` bytes that are left for files."""
    journal = next(journal for least, journal in _JOURNALS if size >= least)
    return max(0, size - journal - int(size * _INODES))


def check_room(spec: ImageSpec, lock: Lock) -> None:
    """Raises TemplateError `root-too-small`, with the place of the value to change and one that is enough."""
    number = next((n for n, p in enumerate(spec.disk.partitions) if p.mount_point == "/"), None)
    if number is None:
        return
    needed, size = installed_size(spec, lock), lay_out(spec, lock.seed).root.size
    if needed <= usable(size):
        return
    partition = spec.disk.partitions[number]
    key, value = _enough(partition, number, needed)
    raise TemplateError(
        "root-too-small",
        f"the packages take {_mib(needed)} MiB; partition {partition.id} has {_mib(size)} MiB, "
        f"{_mib(size - usable(size))} of which the file system keeps for itself",
        cause=_largest(lock),
        hint=_hint(spec, key, f"write {key.rsplit('.', 1)[-1]}: {format_size(value)} or more"),
        origin=spec.origin(key),
    )


def _hint(spec: ImageSpec, key: str, write: str) -> str:
    """A disk comes from one file as a whole: where it is not the user's own, that file is not theirs to change."""
    disk, own = spec.origin(key), spec.origin("image.name")
    if disk is None or own is None or disk.file == own.file:
        return write
    return f"copy the section 'disk' of {disk.file} into your template and {write} there"


def _enough(partition: Partition, number: int, needed: int) -> tuple[str, int]:
    """The key that decides over the partition's size, and a value for it that leaves some room."""
    size = _ROUND
    while usable(size) < needed * _SPARE:
        size += _ROUND
    end = -(-(partition.start + size + MIB) // _ROUND) * _ROUND
    return ("disk.size" if partition.end is None else f"disk.partitions[{number}].end"), end


def _largest(lock: Lock) -> str:
    packages = sorted(lock.sets["image"].packages(), key=lambda p: -p.installed_size)[:3]
    return "the largest are " + ", ".join(f"{p.name} ({_mib(p.installed_size)} MiB)" for p in packages)


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0  # whoever copies it says what is wrong with it


def _mib(size: int) -> int:
    return -(-size // MIB)

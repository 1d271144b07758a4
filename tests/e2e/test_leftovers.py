"""What tools leave in a filesystem, an initrd or a database beside what they were asked for: each comes from the lock,
or is not there. These look at images that other tests build anyway; test_leftovers_of_packages.py builds its own."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from os_image_composer.formats.ext4 import Ext4
from os_image_composer.formats.fat import Fat
from os_image_composer.formats.filesystem import NodeKind, walk
from os_image_composer.formats.window import FileSource, Window
from os_image_composer.image.layout import DiskLayout, PlacedPartition, lay_out
from support.cpio import members
from support.workshop import Workshop

pytestmark = pytest.mark.build


@pytest.fixture(scope="module")
def epoch(built: Workshop) -> int:
    return built.provider()[1].lock.source_date_epoch


@pytest.fixture(scope="module")
def layout(built: Workshop) -> DiskLayout:
    _, preparation = built.provider()
    return lay_out(preparation.spec, preparation.lock.seed)


def window(image: Path, partition: PlacedPartition) -> Iterator[Window]:
    with FileSource(image, allowance=1 << 40) as source:
        yield Window.over(source).part(partition.start, partition.size)


@pytest.fixture(scope="module")
def root(built: Workshop, layout: DiskLayout) -> Iterator[Window]:
    yield from window(built.image(), layout.root)


@pytest.fixture(scope="module")
def esp(built: Workshop, layout: DiskLayout) -> Iterator[Window]:
    yield from window(built.image(), layout.esp)


def test_every_inode_of_the_root_is_dated_by_the_epoch_and_none_later(root: Window, epoch: int) -> None:
    """Access and change by the epoch itself: on the build host they are whatever its clock and mount options make."""
    filesystem = Ext4(root)
    found = [(node, filesystem.hidden(node)) for _, node in walk(filesystem)]
    assert len(found) > 5000
    names = ("atime", "ctime", "crtime")
    assert {tuple(int(times[name]) for name in names) for _, times in found} == {(epoch,) * 3}
    fractions = ("mtime-fraction", "atime-fraction", "ctime-fraction")
    assert {tuple(times[name] for name in fractions) for _, times in found} == {("0",) * 3}
    assert max(node.mtime for node, _ in found) == epoch
    assert min(node.mtime for node, _ in found) < epoch - 86400  # what packages have keeps its own date


def test_superblock_of_the_root_has_the_hash_seed_and_the_times_of_the_lock(
    root: Window, layout: DiskLayout, epoch: int
) -> None:
    said = Ext4(root).super_block()
    assert said["hash-seed"] == UUID(layout.root.hash_seed).bytes.hex()
    assert (said["made"], said["written"], said["checked"]) == (str(epoch),) * 3
    assert (said["mounted"], said["mounts"]) == ("0", "0")


def test_no_inode_that_is_not_in_use_has_a_date(root: Window) -> None:
    """The dates are set by number; a wrong last number would leave its mark here."""
    data = root.read(1024, 1024)
    inodes, free, per_group = (struct.unpack_from("<I", data, offset)[0] for offset in (0, 16, 40))
    used = inodes - free
    groups = root.read(4096, 64 * -(-inodes // per_group))
    for group in range(-(-inodes // per_group)):
        (table,) = struct.unpack_from("<I", groups, 64 * group + 8)
        raw = root.read(table * 4096, per_group * 256)
        for number in range(per_group):
            inode = raw[256 * number : 256 * number + 256]
            if group * per_group + number + 1 > used:
                assert not inode.strip(b"\0"), group * per_group + number + 1


def test_efi_system_partition_has_the_id_and_the_dates_of_the_lock_and_its_entries_in_order(
    esp: Window, layout: DiskLayout, epoch: int
) -> None:
    filesystem = Fat(esp)
    assert filesystem.volume.uuid == layout.esp.filesystem_uuid
    found = list(walk(filesystem))
    files = [(path, node) for path, node in found if node.kind is NodeKind.FILE]
    assert [path for path, _ in files] == sorted(path for path, _ in files)
    assert {"EFI/BOOT/BOOTX64.EFI", "loader/loader.conf"} <= {path for path, _ in files}
    # Two seconds are the finest that FAT has.
    assert {node.mtime for path, node in found if path} == {epoch // 2 * 2}


def test_initrd_has_its_files_in_order_and_without_a_date_of_the_build(built: Workshop, epoch: int) -> None:
    folder = built.results()["initrd"].content
    assert folder is not None
    (initrd,) = folder.glob("initrd-*.img")
    archives = members(initrd)
    assert sum(len(archive) for archive in archives) > 300
    for archive in archives:
        inodes = Counter(m.inode for m in archive)
        # cpio keeps names of one file back until it has met them all.
        names = [m.name for m in archive if inodes[m.inode] == 1]
        assert names == sorted(names)
        assert max(inodes) - min(inodes) == len(inodes) - 1  # cpio's own numbers, not the disk's
        assert {(m.mtime, m.uid, m.gid, m.device) for m in archive} == {(1, 0, 0, (0, 0))}

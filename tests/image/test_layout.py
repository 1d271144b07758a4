"""Where partitions lie and what they are called."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from os_image_composer.config.load import load_image_spec
from os_image_composer.config.spec import ImageSpec, Immutability
from os_image_composer.image.layout import MIB, fstab, lay_out

ROOT = Path(__file__).parents[2]
SEED = "5d0c8d64-9f86-4e0c-8f39-a0bd2b1f64f5"


@pytest.fixture(scope="module")
def spec() -> ImageSpec:
    return load_image_spec(ROOT / "image-templates" / "debian13-x86_64-minimal-raw.yml", ROOT / "config")


def test_same_seed_gives_the_same_identifiers_and_another_seed_others(spec: ImageSpec) -> None:
    other = "6d0c8d64-9f86-4e0c-8f39-a0bd2b1f64f5"
    assert lay_out(spec, SEED) == lay_out(spec, SEED)
    one, two = lay_out(spec, SEED), lay_out(spec, other)
    assert {p.uuid for p in one.partitions} & {p.uuid for p in two.partitions} == set()
    assert one.root.filesystem_uuid != two.root.filesystem_uuid
    identifiers = [one.uuid, *(v for p in one.partitions for v in (p.uuid, p.filesystem_uuid, p.hash_seed))]
    assert len(set(identifiers)) == len(identifiers)


def test_last_partition_ends_where_the_backup_table_begins_rounded_to_a_mebibyte(spec: ImageSpec) -> None:
    layout = lay_out(spec, SEED)
    last = layout.partitions[-1]
    assert last.start + last.size == layout.size - MIB
    assert all(p.start % MIB == 0 and p.size % MIB == 0 for p in layout.partitions)


def test_fstab_names_filesystems_by_uuid_with_the_root_first(spec: ImageSpec) -> None:
    layout = lay_out(replace(spec, immutability=Immutability(False)), SEED)
    rows = [line.split("\t") for line in fstab(layout).splitlines()]
    assert rows == [
        [f"UUID={layout.root.filesystem_uuid}", "/", "ext4", "defaults", "0", "1"],
        [f"UUID={layout.esp.filesystem_uuid}", "/boot/efi", "vfat", "umask=0077", "0", "2"],
    ]
    assert len(layout.esp.filesystem_uuid) == len("ABCD-1234")


def test_partition_that_is_not_mounted_is_not_in_fstab(spec: ImageSpec) -> None:
    partitions = (replace(spec.disk.partitions[0], mount_point=None), spec.disk.partitions[1])
    plain = replace(spec, immutability=Immutability(False))
    layout = lay_out(replace(plain, disk=replace(spec.disk, partitions=partitions)), SEED)
    assert len(fstab(layout).splitlines()) == 1

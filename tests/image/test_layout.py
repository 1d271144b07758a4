"""Where partitions lie and what they are called."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from os_image_composer.config.load import load_image_spec
from os_image_composer.config.partition_roles import Role
from os_image_composer.config.spec import ImageSpec, Immutability
from os_image_composer.image.layout import MIB, fstab, lay_out, sealed
from os_image_composer.image.state import mount_unit, state_settings

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


def test_sealed_root_and_its_hash_tree_are_found_by_their_hash(spec: ImageSpec) -> None:
    root_hash = "0123456789abcdef" * 2 + "fedcba9876543210" * 2
    layout = sealed(lay_out(spec, SEED), root_hash)
    (tree,) = layout.of(Role.HASH)
    assert layout.root.uuid == "01234567-89ab-cdef-0123-456789abcdef"
    assert tree.uuid == "fedcba98-7654-3210-fedc-ba9876543210"
    assert (layout.root.type_guid, tree.type_guid) == (
        "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709",
        "2C7357ED-EBD2-46D9-AEC1-23D437EC2BF5",
    )
    assert {p.uuid for p in layout.partitions} - {layout.root.uuid, tree.uuid} < {
        p.uuid for p in lay_out(spec, SEED).partitions
    }


def test_fstab_of_a_sealed_root_mounts_the_mapped_device_read_only_and_leaves_the_data_partition_out(
    spec: ImageSpec,
) -> None:
    layout = lay_out(spec, SEED)
    rows = [line.split("\t") for line in fstab(layout).splitlines()]
    assert rows == [
        ["/dev/mapper/root", "/", "ext4", "ro", "0", "0"],
        [f"UUID={layout.of(Role.ESP)[0].filesystem_uuid}", "/boot/efi", "vfat", "umask=0077", "0", "2"],
        ["tmpfs", "/tmp", "tmpfs", "mode=1777,nosuid,nodev", "0", "0"],
    ]


def with_data(spec: ImageSpec, **fields: object) -> ImageSpec:
    *others, data = spec.disk.partitions
    return replace(spec, disk=replace(spec.disk, partitions=(*others, replace(data, **fields))))  # type: ignore[arg-type]


def settings_of(spec: ImageSpec) -> dict[str, str]:
    layout = lay_out(spec, SEED)
    (conf, device, *_) = state_settings(layout, "modules.d/90image-state", ("var/lib/manager", "usr/lib/manager"))
    (data,) = layout.of(Role.STATE)
    name = r"dev-disk-by\x2dpartuuid-" + data.uuid.replace("-", r"\x2d")
    assert device.content == f"[Unit]\nRequires={name}.device\nAfter={name}.device\n"
    return dict(line.split("=", 1) for line in conf.content.splitlines())


def test_the_initrd_is_told_which_folders_are_kept_and_which_stay_the_roots(spec: ImageSpec) -> None:
    assert settings_of(spec) == {
        "DATA": lay_out(spec, SEED).of(Role.STATE)[0].uuid,
        "OPTIONS": "defaults",
        "KEPT": "'home root srv var'",
        "VERIFIED": "var/lib/manager",
        "GROW": "yes",
    }
    assert settings_of(with_data(spec, mount_point="/opt", mount_options="noatime")) == settings_of(spec) | {
        "OPTIONS": "noatime",
        "KEPT": "'home root srv var opt'",
    }
    assert settings_of(with_data(spec, mount_point="/var/lib/app"))["KEPT"] == "'home root srv var'"


@pytest.mark.parametrize("path", ["/var", "/opt/my-app", "/srv/.a b", "/.hidden/x", "/caf\u00e9"])
def test_the_unit_of_a_mount_is_named_as_systemd_names_it(path: str) -> None:
    done = subprocess.run(
        ["systemd-escape", "--path", "--suffix=mount", path], capture_output=True, text=True, timeout=10
    )
    assert mount_unit(path) == done.stdout.strip()


def test_the_running_systemd_leaves_what_the_initrd_mounted(spec: ImageSpec) -> None:
    layout = lay_out(with_data(spec, mount_point="/a-%b"), SEED)
    files = {file.path: file.content for file in state_settings(layout, "m", ("var/lib/manager",))}
    units = {path.removeprefix("m/units/"): text for path, text in files.items() if path.startswith("m/units/")}
    kept = {"home.mount", "root.mount", "srv.mount", "var.mount", r"a\x2d\x25b.mount"}
    dropped = {f"{name}.mount.d/50-image-state.conf" for name in ("run-state", "var-lib-manager")}
    assert set(units) == kept | dropped
    assert all(text.startswith("[Unit]\nDefaultDependencies=no\n") for text in units.values())
    assert "What=/run/state/a-%%b\nWhere=/a-%%b\n" in units[r"a\x2d\x25b.mount"]


def test_a_folder_with_a_partition_of_its_own_is_not_kept_on_the_data_partition(spec: ImageSpec) -> None:
    esp, root, tree, data = spec.disk.partitions
    cut = replace(data, end=data.start + 100 * MIB)
    own = replace(data, id="homes", mount_point="/home", start=data.start + 100 * MIB)
    found = settings_of(replace(spec, disk=replace(spec.disk, partitions=(esp, root, tree, cut, own))))
    assert (found["KEPT"], found["GROW"]) == ("'root srv var'", "no")


def test_a_mount_point_cannot_become_a_command_of_the_initrd(spec: ImageSpec) -> None:
    conf = state_settings(lay_out(with_data(spec, mount_point="/a$(reboot)"), SEED), "m", ())[0].content
    done = subprocess.run(["sh", "-c", f'{conf}\nprintf %s "$KEPT"'], capture_output=True, text=True, timeout=10)
    assert done.stdout == "home root srv var a$(reboot)"

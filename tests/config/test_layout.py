from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from os_image_composer.config.load import check_template, load_image_spec
from os_image_composer.config.sizes import MIB
from os_image_composer.errors import Finding

Marked = Callable[[str], Finding]
Write = Callable[..., Path]
GOOD = """\
image: {name: test, version: "1.0"}
target: {os: debian, dist: debian13, arch: x86_64, imageType: raw}
disk:
  name: disk
  size: 2GiB
  partitionTableType: gpt
  partitions:
    - {id: esp, type: esp, fsType: fat32, start: 1MiB, end: 257MiB, mountPoint: /boot/efi}
    - {id: root, type: linux-root-amd64, fsType: ext4, start: 257MiB, end: "0", mountPoint: /}
systemConfig: {immutability: {enabled: false}}
"""


def test_a_good_layout_is_read_in_bytes(write: Write, data: Path) -> None:
    disk = load_image_spec(write(GOOD), data).disk
    assert disk.size == 2048 * MIB
    assert [(p.start, p.end) for p in disk.partitions] == [(MIB, 257 * MIB), (257 * MIB, None)]
    assert [(a.type, a.compression) for a in disk.artifacts] == [("raw", None)]


def changed(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new)


@pytest.mark.parametrize(
    ("old", "new", "reference"),
    [
        ("start: 257MiB", "start: ▸256MiB", "overlap"),
        ("start: 257MiB", "start: ▸2MiB", "overlap"),
        ('end: "0"', "end: ▸2GiB", "outside-disk"),
        ('end: "0"', "end: ▸200MiB", "outside-disk"),
        ("size: 2GiB", "size: ▸1000000000", "unaligned"),
        ("start: 1MiB", "start: ▸0", "outside-disk"),
        ("start: 257MiB", "start: ▸270000000", "unaligned"),
        ("id: root", "id: ▸esp", "duplicate-value"),
        ("type: linux-root-amd64", "type: ▸linux-root-arm64", "wrong-value"),
        ("type: linux-root-amd64", "type: ▸linux-rot-amd64", "wrong-value"),
        ("fsType: ext4", "fsType: ▸xfs", "not-built-yet"),
        ("fsType: ext4", "fsType: ▸zfs", "wrong-value"),
        ("fsType: ext4", "fsType: ▸vfat", "wrong-value"),
        ("fsType: fat32", "fsType: ▸ext4", "wrong-value"),
        ("type: esp,", "type: esp, typeUUID: ▸0FC63DAF-8483-4772-8E79-3D69D8477DE4,", "wrong-value"),
        ("type: esp,", "type: esp, typeUUID: ▸x,", "wrong-value"),
        ("id: root,", "id: root, ▸flags: [esp],", "wrong-value"),
        ("id: root,", "id: root, ▸index: 2,", "not-built-yet"),
        ("partitionTableType: gpt", "partitionTableType: ▸mbr", "not-built-yet"),
        ("  name: disk\n", "  name: disk\n  ▸path: /dev/sda\n", "not-built-yet"),
        ("  name: disk\n", "  name: disk\n  ▸selectionPolicy: {}\n", "not-built-yet"),
        ("  name: disk\n", "  name: disk\n  ▸extendLastPartitionToFillDisk: true\n", "not-built-yet"),
        ("  name: disk\n", "  name: disk\n  artifacts: [{type: raw, compression: ▸lz4}]\n", "wrong-value"),
        ("  name: disk\n", "  name: disk\n  artifacts: [{type: raw, subformat: ▸fixed}]\n", "wrong-value"),
        ("  name: disk\n", "  name: disk\n  artifacts: [{type: vhd, subformat: ▸monolithic}]\n", "wrong-value"),
        ("  name: disk\n", "  name: disk\n  artifacts: [{type: qcow2, bmap: ▸true}]\n", "wrong-value"),
        ("  name: disk\n", "  name: disk\n  artifacts: [{type: vdi}, ▸{type: vdi}]\n", "duplicate-value"),
        (
            "  name: disk\n",
            "  name: disk\n  artifacts: [{type: raw, compression: gz}, ▸{type: raw, compression: gzip}]\n",
            "duplicate-value",
        ),
        (
            "  name: disk\n",
            "  name: disk\n  artifacts: [{type: vhd, compression: gz}, {type: vhd, subformat: ▸dynamic}]\n",
            "wrong-value",
        ),
        ("  name: disk\n", "  name: disk\n  artifacts: [{type: ▸img}]\n", "wrong-value"),
        ("  name: disk\n", "  name: disk\n  artifacts: [{type: ▸directory}]\n", "wrong-value"),
        ("size: 2GiB", "size: ▸2GB2", "wrong-size"),
        ("size: 2GiB", "size: ▸2PiB", "wrong-size"),
        ("mountPoint: /boot/efi", "mountPoint: ▸'/boot efi'", "wrong-value"),
        ("mountPoint: /boot/efi", "mountPoint: ▸boot", "wrong-value"),
        ("mountPoint: /boot/efi", "mountPoint: /boot/efi, mountOptions: ▸'a b'", "wrong-value"),
        ("type: esp,", "type: esp, fsLabel: ▸TWELVELETTER,", "wrong-value"),
    ],
)
def test_a_layout_that_cannot_be_made_is_found_in_its_place(marked: Marked, old: str, new: str, reference: str) -> None:
    assert marked(changed(old, new)).reference == reference


def test_a_disk_without_root_partition_is_refused(marked: Marked) -> None:
    assert marked(changed(", mountPoint: /}", "}").replace("partitions:", "▸partitions:")).reference == "no-root"


def test_two_root_partitions_are_refused(write: Write, data: Path) -> None:
    findings = check_template(write(changed("/boot/efi", "/")), data)
    assert "duplicate-value" in [finding.reference for finding in findings]


def test_booting_by_efi_takes_an_efi_system_partition(write: Write, data: Path) -> None:
    findings = check_template(write(changed("type: esp, ", "")), data)
    assert "no-esp" in [finding.reference for finding in findings]


def test_two_efi_system_partitions_are_refused(marked: Marked) -> None:
    second = "    - {id: b, type: esp, fsType: vfat, start: 257MiB, end: 300MiB}\n    - {id: root"
    text = changed("    - {id: root", second).replace('start: 257MiB, end: "0"', 'start: 300MiB, end: "0"')
    assert marked(text.replace("partitions:", "▸partitions:")).reference == "two-esps"


def test_the_efi_system_partition_may_be_named_by_its_guid(write: Write, data: Path) -> None:
    text = changed("type: esp,", "typeUUID: c12a7328-f81f-11d2-ba4b-00a0c93ec93b,")
    assert check_template(write(text), data) == ()


def test_fat32_needs_its_number_of_clusters(marked: Marked) -> None:
    assert (
        marked(changed("fat32, start: 1MiB, end: 257MiB", "▸fat32, start: 1MiB, end: 34MiB")).reference == "too-small"
    )


THIRD = '    - {id: more, fsType: ext4, start: 1GiB, end: "0", mountPoint: /srv}\nsystemConfig:'


def with_a_third(third: str = THIRD) -> str:
    return changed('start: 257MiB, end: "0"', "start: 257MiB, end: 1GiB").replace("systemConfig:", third)


@pytest.mark.parametrize(
    ("old", "new"),
    [("ext4", "ext4"), ("ext4", "fat32"), ("/srv", "none"), ("fsType: ext4, ", ""), (", mountPoint: /srv", "")],
)
def test_a_third_partition_has_files_a_mount_point_or_nothing(write: Write, data: Path, old: str, new: str) -> None:
    third = THIRD.replace(old, new)
    if new == "" and "fsType" in old:
        third = third.replace(", mountPoint: /srv", "")
    assert check_template(write(with_a_third(third)), data) == ()


@pytest.mark.parametrize("kind", ["erofs", "squashfs"])
def test_a_filesystem_that_would_be_empty_for_ever_is_refused(marked: Marked, kind: str) -> None:
    assert marked(with_a_third(THIRD.replace("ext4", f"▸{kind}"))).reference == "wrong-value"


def test_the_layout_is_checked_also_when_something_else_is_wrong(write: Write, data: Path) -> None:
    findings = check_template(write("unknown: 1\n" + changed("start: 257MiB", "start: 256MiB")), data)
    assert [finding.reference for finding in findings] == ["unknown-key", "overlap"]


@pytest.mark.parametrize(
    ("old", "new"), [("size: 2GiB", "size: ▸2"), ("end: 257MiB", "end: ▸257"), ('end: "0"', 'end: ▸"4096"')]
)
def test_a_size_without_a_unit_is_told_as_such(marked: Marked, old: str, new: str) -> None:
    finding = marked(changed(old, new))
    assert finding.reference == "wrong-size"
    assert "write a unit: " in str(finding.hint)


SEALED = """\
image: {name: test, version: "1.0"}
target: {os: debian, dist: debian13, arch: x86_64, imageType: raw}
disk:
  name: disk
  size: 4GiB
  partitions:
    - {id: esp, type: esp, fsType: fat32, start: 1MiB, end: 257MiB, mountPoint: /boot/efi}
    - {id: root, type: linux-root-amd64, fsType: ext4, start: 257MiB, end: 2305MiB, mountPoint: /}
    - {id: hash, start: 2305MiB, end: 2322MiB}
    - {id: data, fsType: ext4, start: 2400MiB, end: "0"}
systemConfig: {immutability: {enabled: true}}
"""


def sealed(old: str, new: str) -> str:
    assert SEALED.count(old) == 1
    return SEALED.replace(old, new)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("id: hash", "id: roothashmap"),
        ("id: hash", "id: tree, type: linux-root-amd64-verity"),
        ("id: hash", "id: roothashmap, type: linux, fsType: ext4, mountPoint: none"),
        ("id: data", "id: userdata, mountPoint: /opt, mountOptions: noatime"),
        ("fsType: ext4, start: 257", "fsType: erofs, start: 257"),
        ("fsType: ext4, start: 257", "fsType: squashfs, start: 257"),
        ("enabled: true", "enabled: false"),
    ],
)
def test_layout_with_a_hash_partition_and_a_data_partition_can_be_sealed(
    write: Write, data: Path, old: str, new: str
) -> None:
    assert check_template(write(sealed(old, new)), data) == ()


@pytest.mark.parametrize(
    ("old", "new", "reference"),
    [
        ("end: 2322MiB", "end: 2321MiB", "too-small"),
        ("id: hash, start", "id: hash, type: ▸linux-home, start", "wrong-value"),
        ("id: hash, start", "id: hash, type: ▸linux-root-arm64-verity, start", "wrong-value"),
        ("id: hash, start", "id: hash, fsType: ▸erofs, start", "wrong-value"),
        ("id: hash, start", "id: hash, fsType: ext4, fsLabel: ▸tree, start", "wrong-value"),
        ("id: hash, start", "id: hash, fsType: ext4, mountPoint: ▸/tree, start", "wrong-value"),
        ("id: data, fsType: ext4", "id: data, fsType: ▸fat32", "wrong-value"),
        ("start: 2400MiB", "start: 4040MiB", "too-small"),
        ("id: data", "id: data, mountPoint: ▸/usr/local", "wrong-value"),
        ("id: data", "id: data, mountPoint: ▸/etc", "wrong-value"),
        ("fsType: ext4, start: 257", "fsType: squashfs, fsLabel: ▸root, start: 257", "wrong-value"),
        ("fsType: ext4, start: 257", "fsType: erofs, fsLabel: ▸sixteen-letters-, start: 257", "wrong-value"),
    ],
)
def test_layout_that_cannot_be_sealed_is_found_in_its_place(
    marked: Marked, write: Write, data: Path, old: str, new: str, reference: str
) -> None:
    text = sealed(old, new)
    if "▸" in text:
        assert marked(text).reference == reference
        return
    (finding,) = check_template(write(text), data)
    assert finding.reference == reference
    assert finding.origin is not None
    assert "{" in SEALED.splitlines()[finding.origin.line - 1]


def test_a_hash_partition_that_is_too_small_says_how_large_it_must_be(write: Write, data: Path) -> None:
    # 2048 MiB are 524288 blocks: 4096 + 32 + 1 blocks of digests and a superblock.
    (finding,) = check_template(write(sealed("end: 2322MiB", "end: 2321MiB")), data)
    assert (
        "2GiB" in (finding.hint or "")
        and "16520KiB" in (finding.hint or "")
        and "17MiB or more" in (finding.hint or "")
    )
    assert finding.origin is not None and finding.origin.line == 9


@pytest.mark.parametrize(("line", "reference"), [(9, "no-hash-partition"), (10, "no-data-partition")])
def test_a_layout_without_room_is_an_error_and_never_switched_off(
    write: Write, data: Path, line: int, reference: str
) -> None:
    lines = SEALED.splitlines(keepends=True)
    (finding,) = check_template(write("".join(lines[: line - 1] + lines[line:])), data)
    assert finding.reference == reference
    assert finding.origin is not None and finding.origin.line == 6
    assert finding.hint


@pytest.mark.parametrize("kind", ["erofs", "squashfs"])
def test_a_root_that_cannot_be_written_to_needs_a_data_partition_also_unsealed(
    write: Write, data: Path, kind: str
) -> None:
    text = sealed("fsType: ext4, start: 257", f"fsType: {kind}, start: 257").replace("enabled: true", "enabled: false")
    assert check_template(write(text), data) == ()
    (finding,) = check_template(write(text.replace("id: data", "id: more")), data)
    assert finding.reference == "no-data-partition"


@pytest.mark.parametrize(
    "word", ["roothash=00", "systemd.verity=0", "systemd.verity_root_data=/dev/sda", "root=/dev/sda"]
)
def test_the_command_line_cannot_name_another_root(marked: Marked, word: str) -> None:
    text = SEALED.replace("{immutability", f"{{kernel: {{cmdline: ▸'quiet {word}'}}, immutability")
    assert marked(text).reference == "wrong-value"

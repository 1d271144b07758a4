"""The partition table reader against sfdisk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from os_image_composer.formats.partition_table import PartitionTable, read_partition_table
from os_image_composer.formats.window import FileSource, Window
from support.small_images import MIB, ext_image, made, partitioned, sample_tree

GPT = """label: gpt
start=2048, size=20480, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B, name="esp", attrs="RequiredPartition"
size=40960, type=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709, name="wurzel ä"
"""
MBR = """label: dos
1 : start=2048, size=20480, type=c, bootable
2 : size=40960, type=5
5 : size=8192, type=83
6 : size=8192, type=82
"""


def read(path: Path) -> PartitionTable:
    with FileSource(path) as source:
        table = read_partition_table(Window.over(source))
    assert table is not None
    return table


def told(path: Path) -> dict[str, Any]:
    value = json.loads(made("sfdisk", "--json", str(path)).stdout)["partitiontable"]
    assert isinstance(value, dict)
    return value


def test_gpt_is_as_sfdisk_tells_it(tmp_path: Path) -> None:
    image = partitioned(tmp_path / "disk.img", GPT)
    table, expected = read(image), told(image)
    assert (table.kind, table.uuid, table.faults) == ("gpt", expected["id"].lower(), ())
    assert [(p.start, p.size, p.type, p.uuid, p.name) for p in table.partitions] == [
        (p["start"] * 512, p["size"] * 512, p["type"], p["uuid"].lower(), p["name"]) for p in expected["partitions"]
    ]
    assert [p.attributes for p in table.partitions] == [1, 0]


def test_mbr_with_logical_partitions_is_as_sfdisk_tells_it(tmp_path: Path) -> None:
    image = partitioned(tmp_path / "disk.img", MBR)
    table, expected = read(image), told(image)
    assert (table.kind, f"0x{table.uuid}", table.faults) == ("mbr", expected["id"], ())
    assert [(p.number, p.start, p.size, p.type) for p in table.partitions] == [
        (int(p["node"].removeprefix(str(image))), p["start"] * 512, p["size"] * 512, f"0x{int(p['type'], 16):02x}")
        for p in expected["partitions"]
    ]


@pytest.mark.parametrize(
    ("at", "fault"),
    [
        (512 + 40, "the first GPT header is not usable"),
        (1024, "the first GPT header is not usable"),
        (64 * MIB - 512 + 40, "the copy of the GPT at the end of the disk is not usable"),
    ],
)
def test_damaged_copy_of_a_gpt_is_named_and_the_other_one_read(tmp_path: Path, at: int, fault: str) -> None:
    image = partitioned(tmp_path / "disk.img", GPT)
    whole = read(image)
    with image.open("r+b") as stream:
        stream.seek(at)
        byte = stream.read(1)
        stream.seek(at)
        stream.write(bytes([byte[0] ^ 0xFF]))
    table = read(image)
    assert table.partitions == whole.partitions
    assert fault in table.faults[0]


def test_gpt_on_a_disk_that_was_made_larger_says_so(tmp_path: Path) -> None:
    image = partitioned(tmp_path / "disk.img", GPT)
    with image.open("r+b") as stream:
        stream.truncate(96 * MIB)
    assert any("its GPT ends at sector" in fault for fault in read(image).faults)


def test_filesystem_without_a_table_is_not_taken_for_one(tmp_path: Path) -> None:
    image = ext_image(tmp_path / "x.img", sample_tree(tmp_path / "tree"), "ext4")
    with FileSource(image) as source:
        assert read_partition_table(Window.over(source)) is None


def test_chain_of_logical_partitions_that_leads_back_ends(tmp_path: Path) -> None:
    image = partitioned(tmp_path / "disk.img", MBR)
    extended = next(p for p in read(image).partitions if p.type == "0x05")
    with image.open("r+b") as stream:
        stream.seek(extended.start + 462)
        record = bytearray(stream.read(16))
        record[8:12] = bytes(4)
        stream.seek(extended.start + 462)
        stream.write(record)
    assert "the chain of logical partitions has no end" in read(image).faults

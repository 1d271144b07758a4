"""Which format of a hypervisor a file has. What qemu-img writes is in `tests/e2e/test_formats.py`; here are the headers
that it does not write, and those that lie."""

from __future__ import annotations

import struct

import pytest

from os_image_composer.formats.virtual_disk import VirtualDisk, recognise
from os_image_composer.formats.window import FormatError, Window
from support.virtual_disks import qcow2, vdi, vhd, vhdx, vmdk

GIB = 1 << 30


def look(data: bytes) -> VirtualDisk | None:
    return recognise(Window.of(data))


@pytest.mark.parametrize(
    ("data", "form"),
    [(qcow2(GIB), "qcow2"), (vmdk(GIB), "vmdk"), (vhdx(GIB), "vhdx"), (vdi(GIB), "vdi"), (vhd(GIB, kind=3), "vhd")],
    ids=["qcow2", "vmdk", "vhdx", "vdi", "vhd"],
)
def test_each_format_is_told_with_the_size_of_its_disk(data: bytes, form: str) -> None:
    assert look(data) == VirtualDisk(form, GIB)


def test_a_fixed_vhd_is_one_by_its_end_alone() -> None:
    disk = b"\x55" * 8192
    assert look(disk + vhd(8192, kind=2)) == VirtualDisk("vhd", 8192)


@pytest.mark.parametrize(
    "data", [b"", b"x" * 100, bytes(1 << 20), b"\x55" * 8192], ids=["empty", "text", "zeros", "raw"]
)
def test_what_is_none_of_them_is_none(data: bytes) -> None:
    assert look(data) is None


@pytest.mark.parametrize(
    "data",
    [
        qcow2(GIB, backing=512),
        qcow2(GIB, features=4),
        vmdk(GIB, text=b'CID=1\nparentFileNameHint="/etc/shadow"\n'),
        vmdk(0),
        b"# Disk DescriptorFile\nversion=1\n",
        vhdx(GIB, parent=True),
        vdi(GIB, kind=4),
        vhd(GIB, kind=4),
    ],
    ids=["backing file", "data file", "parent", "no extent", "descriptor", "vhdx parent", "vdi parent", "vhd parent"],
)
def test_a_disk_of_which_a_part_is_in_another_file_says_so(data: bytes) -> None:
    found = look(data)
    assert found is not None and found.elsewhere


@pytest.mark.parametrize(
    "data",
    [
        qcow2(GIB)[:50],
        qcow2(GIB, version=7),
        qcow2(1 << 63),
        vmdk(GIB)[:100],
        vmdk(GIB)[:600],
        vhdx(GIB)[: 256 << 10],
        vhdx(0),
        vdi(GIB)[:200],
        vhd(GIB, kind=3)[:-10] + bytes(600),
        bytes(4096) + vhd(GIB, kind=2),
        bytes(4096) + vhd(4096, kind=3)[512:],
    ],
)
def test_numbers_that_cannot_be_are_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        look(data)


def test_a_region_table_of_impossible_length_is_read_to_its_end_only() -> None:
    data = bytearray(vhdx(GIB))
    struct.pack_into("<I", data, (192 << 10) + 8, 0xFFFFFFFF)
    data[(192 << 10) + 16 : (192 << 10) + 32] = bytes(16)
    with pytest.raises(FormatError, match="without the entry"):
        look(bytes(data))

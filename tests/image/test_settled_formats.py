"""What the formats of hypervisors say of themselves follows from the disk, and their checksums hold again."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from uuid import UUID

import pytest

from os_image_composer.formats import vhdx as layout
from os_image_composer.formats.window import FormatError, Window
from os_image_composer.image.format_vdi import settle_vdi
from os_image_composer.image.format_vhd import settle_vhd
from os_image_composer.image.format_vhdx import crc32c, settle_vhdx
from os_image_composer.image.format_vmdk import settle_vmdk
from os_image_composer.image.pack_disk import plain_name
from support.virtual_disks import vdi, vhd, vhdx, vmdk

ONE = UUID("11111111-2222-5333-8444-555555555555")
OTHER = UUID("66666666-7777-5888-9999-aaaaaaaaaaaa")


def test_crc32c_is_the_one_of_the_standard() -> None:
    # RFC 3720, B.4.
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(bytes(range(32))) == 0x46DD794E


@pytest.mark.parametrize("kind", [2, 3])
def test_vhd_has_a_fixed_date_its_id_and_a_right_checksum_wherever_its_footer_stands(kind: int) -> None:
    data = bytearray(vhd(1 << 20, kind=kind))
    for at in range(0, len(data), 512):
        data[at + 24 : at + 28] = b"date"
    file = io.BytesIO((b"\x55" * 4096 if kind == 2 else b"") + bytes(data))
    settle_vhd(file, ONE)
    result = file.getvalue()
    footer = result[-512:]
    assert (footer[24:28], footer[68:84]) == (bytes(4), ONE.bytes)
    checksum = sum(footer) - sum(footer[64:68])
    assert struct.unpack_from(">I", footer, 64)[0] == ~checksum & 0xFFFFFFFF
    assert result[:512] == (b"\x55" * 512 if kind == 2 else footer)


def test_vdi_has_both_ids_as_guids() -> None:
    file = io.BytesIO(vdi(1 << 20))
    settle_vdi(file, ONE, OTHER)
    assert file.getvalue()[392:424] == ONE.bytes_le + OTHER.bytes_le


@pytest.mark.parametrize("before", [b"CID=1", b"CID=fffffffe"])
def test_vmdk_has_its_content_id_in_eight_digits_and_the_rest_of_the_descriptor(before: bytes) -> None:
    file = io.BytesIO(vmdk(1 << 20, text=b"version=1\n" + before + b"\nparentCID=ffffffff\n"))
    settle_vmdk(file, 0x2A)
    assert file.getvalue()[512:].rstrip(b"\0") == b"version=1\nCID=0000002a\nparentCID=ffffffff\n"
    assert len(file.getvalue()) == 1024


def test_vhdx_has_its_ids_in_valid_headers_and_an_empty_log(tmp_path: Path) -> None:
    data = bytearray(vhdx(1 << 30))
    data[1 << 20 : (1 << 20) + 4096] = b"loge" * 1024
    path = tmp_path / "disk.vhdx"
    path.write_bytes(data)
    settle_vhdx(path, ONE, OTHER)
    result = path.read_bytes()
    for number, at in enumerate((64 << 10, 128 << 10), 1):
        header = result[at : at + 4096]
        (crc, sequence) = struct.unpack_from("<IQ", header, 4)
        assert (crc, sequence) == (crc32c(header[:4] + bytes(4) + header[8:]), number)
        assert header[16:48] == OTHER.bytes_le * 2
    assert not result[1 << 20 : (1 << 20) + (64 << 10)].strip(b"\0")
    assert layout.metadata_item(Window.of(result), layout.DISK_ID).read(0, 16) == ONE.bytes_le


def test_a_log_in_use_is_not_thrown_away(tmp_path: Path) -> None:
    data = bytearray(vhdx(1 << 30))
    data[(64 << 10) + 48] = 1
    path = tmp_path / "disk.vhdx"
    path.write_bytes(data)
    with pytest.raises(ValueError, match="log is in use"):
        settle_vhdx(path, ONE, OTHER)
    assert path.read_bytes() == data


def test_what_is_another_format_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(8192))
    with pytest.raises(ValueError, match="footer"):
        settle_vhd(io.BytesIO(bytes(8192)), ONE)
    with pytest.raises(ValueError, match="VDI"):
        settle_vdi(io.BytesIO(bytes(8192)), ONE, OTHER)
    with pytest.raises(ValueError, match="sparse extent"):
        settle_vmdk(io.BytesIO(bytes(8192)), 1)
    with pytest.raises(ValueError, match="content id"):
        settle_vmdk(io.BytesIO(vmdk(1 << 20, text=b"none\n")), 1)
    with pytest.raises(FormatError):
        settle_vhdx(tmp_path / "file", ONE, OTHER)


def test_only_a_plain_name_stands_in_a_descriptor() -> None:
    assert plain_name("debian13-minimal-1.0+b1.vmdk") == "debian13-minimal-1.0+b1.vmdk"
    for name in ('a"b.vmdk', "a\nRW 1 FLAT /etc/shadow", "", ".hidden", "a b.vmdk"):
        assert plain_name(name) is None

"""What is no disk is refused before QEMU starts, with what it is."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import pytest

from os_image_composer.boot.image_file import check_image
from os_image_composer.errors import BootError
from support.tools import host_tool
from support.virtual_disks import qcow2, vdi, vhd, vhdx, vmdk

MIB = 1 << 20


def disk(path: Path, label: str) -> Path:
    path.write_bytes(b"")
    with path.open("r+b") as file:
        file.truncate(8 * MIB)
    done = host_tool("sfdisk", "--quiet", str(path), stdin=f"label: {label}\nstart=1MiB\n".encode())
    assert done.returncode == 0, done.stdout
    return path


@pytest.mark.parametrize("label", ["gpt", "dos"])
def test_disk_with_a_partition_is_an_image(tmp_path: Path, label: str) -> None:
    check_image(disk(tmp_path / "disk", label))


def test_disk_with_large_sectors_is_an_image(tmp_path: Path) -> None:
    (tmp_path / "disk").write_bytes(bytes(4096) + b"EFI PART" + bytes(MIB))
    check_image(tmp_path / "disk")


def filesystem(path: Path, *argv: str) -> bytes:
    with path.open("wb") as file:
        file.truncate(8 * MIB)
    assert host_tool(*argv, str(path)).returncode == 0
    return path.read_bytes()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it is empty"),
        (b"image: {name: template}\n", "it has no partition table"),
        (bytes(MIB), "it has no partition table"),
        (b"QFI\xfb" + bytes(MIB), "it is a qcow2 of version 0"),
        (b"BZh9" + bytes(MIB), "it is compressed with bzip2"),
        (gzip.compress(bytes(MIB)), "it is compressed with gzip"),
        (("mke2fs", "-q", "-F"), "it is an ext filesystem without a partition table"),
        (("mkfs.fat",), "it has no partition table"),
        (bytes(32768) + struct.pack("8s", b"\x01CD001") + bytes(MIB), "it is an ISO 9660 image without"),
    ],
)
def test_other_files_are_named(tmp_path: Path, content: bytes | tuple[str, ...], words: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(content if isinstance(content, bytes) else filesystem(path, *content))
    with pytest.raises(BootError) as caught:
        check_image(path)
    assert caught.value.reference == "boot-not-an-image"
    assert caught.value.cause is not None and caught.value.cause.startswith(words)


def test_missing_file_and_folder_are_no_images(tmp_path: Path) -> None:
    for path, cause in ((tmp_path / "absent", None), (tmp_path, "it is a folder")):
        with pytest.raises(BootError) as caught:
            check_image(path)
        assert (caught.value.reference, caught.value.cause) == ("boot-image-missing", cause)


@pytest.mark.parametrize(
    ("content", "driver"),
    [(qcow2(MIB), "qcow2"), (vmdk(MIB), "vmdk"), (vhdx(MIB), "vhdx"), (vdi(MIB), "vdi"), (vhd(MIB, kind=3), "vpc")],
)
def test_disk_of_a_hypervisor_is_attached_as_what_it_is(tmp_path: Path, content: bytes, driver: str) -> None:
    (tmp_path / "disk").write_bytes(content)
    assert check_image(tmp_path / "disk") == driver


def test_fixed_vhd_is_no_raw_disk_though_it_begins_like_one(tmp_path: Path) -> None:
    path = disk(tmp_path / "disk", "gpt")
    assert check_image(path) == "raw"
    path.write_bytes(path.read_bytes() + vhd(8 * MIB, kind=2))
    assert check_image(path) == "vpc"


@pytest.mark.parametrize(
    "content",
    [qcow2(MIB, backing=512), qcow2(MIB, features=4), vmdk(MIB, text=b"parentFileNameHint=x\n"), vmdk(0)],
)
def test_disk_that_names_another_file_is_not_given_to_qemu(tmp_path: Path, content: bytes) -> None:
    """QEMU would open that file of the host, and the guest could read it."""
    (tmp_path / "disk").write_bytes(content)
    with pytest.raises(BootError) as caught:
        check_image(tmp_path / "disk")
    assert caught.value.reference == "boot-image-in-parts"

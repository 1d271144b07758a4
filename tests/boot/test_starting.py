"""Which firmware an image is given."""

from __future__ import annotations

from pathlib import Path

import pytest

from os_image_composer.boot.firmware import Firmware
from os_image_composer.boot.machine import FirmwareKind, Machine
from os_image_composer.boot.qemu import qemu_argv
from os_image_composer.boot.starting import firmware_kind
from support.virtual_disks import filled

SHIPPED = b"\xeb\x63\x90" + bytes(507) + b"\x55\xaa"


def disk(tmp_path: Path, first_sector: bytes) -> Path:
    file = tmp_path / "disk.raw"
    file.write_bytes(first_sector + bytes(1 << 20))
    return file


@pytest.mark.parametrize(
    ("first_sector", "kind"),
    [(SHIPPED, FirmwareKind.BIOS), (bytes(510) + b"\x55\xaa", FirmwareKind.UEFI), (b"", FirmwareKind.UEFI)],
)
def test_a_disk_without_an_efi_program_is_for_a_bios_where_its_boot_sector_has_one(
    tmp_path: Path, first_sector: bytes, kind: FirmwareKind
) -> None:
    assert firmware_kind(disk(tmp_path, first_sector)) is kind


def test_a_bios_gets_no_flash_and_speaks_on_the_serial_port() -> None:
    argv = qemu_argv("qemu", Path("/a.raw"), Machine(), None, Path("/vars.fd"))
    assert not any("pflash" in word for word in argv)
    assert "q35,graphics=off" in argv
    uefi = qemu_argv("qemu", Path("/a.raw"), Machine(), Firmware(Path("/c.fd"), Path("/v.fd")), Path("/vars.fd"))
    assert "q35" in uefi


@pytest.mark.parametrize("form", ["qcow2", "vmdk", "vdi", "vhd", "vhdx"])
def test_a_format_of_a_hypervisor_is_started_by_uefi(form: str, tmp_path: Path) -> None:
    """Its first bytes are no boot sector."""
    image = tmp_path / "disk"
    image.write_bytes(filled(form))
    assert firmware_kind(image) is FirmwareKind.UEFI

"""What boot loaders are given to read: names, texts and bytes."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

import pytest

from os_image_composer.config.partition_roles import Role
from os_image_composer.errors import StepError
from os_image_composer.image.bios_boot import boot_sector, placed_core, write_bios_boot
from os_image_composer.image.boot_files import ESP, LOADER_CONF
from os_image_composer.image.grub_config import chain_entry, grub_config, linux_entry
from os_image_composer.image.kernel import Kernel
from os_image_composer.image.kernel_files import KernelFiles, System
from os_image_composer.image.layout import MIB, SECTOR, PlacedPartition
from os_image_composer.image.loader_entries import entry
from os_image_composer.image.loader_systemd import Menu, counted, entry_name, write_loader_conf

KERNEL = Kernel("boot/vmlinuz-6.12.48+deb13-amd64", "6.12.48+deb13-amd64")
PARTITION = PlacedPartition(
    1, "bios", Role.OTHER, "bios", "21686148-6449-6E6F-744E-656564454649", "", MIB, MIB, None, "", "", None, None, None
)


def test_an_entrys_file_has_the_tries_that_are_left_behind_a_plus() -> None:
    assert counted(entry_name("One", KERNEL), Menu(tries=3)) == "one-6.12.48+deb13-amd64+3"
    assert counted(entry_name("One", None), Menu()) == "one"


def test_the_default_entry_is_found_with_tries_in_its_name_and_without(tmp_path: Path) -> None:
    write_loader_conf(tmp_path, Menu(5, 3), entry_name("one", KERNEL), ".efi")
    lines = (tmp_path / ESP / LOADER_CONF).read_text().splitlines()
    assert lines == ["timeout 5", "default one-6.12.48+deb13-amd64[.+]*efi", "console-mode keep"]


def test_one_entry_needs_no_default(tmp_path: Path) -> None:
    write_loader_conf(tmp_path, Menu(), None, ".efi")
    assert (tmp_path / ESP / LOADER_CONF).read_text() == "timeout 0\nconsole-mode keep\n"


def test_an_entry_names_files_from_the_root_of_its_partition() -> None:
    files = KernelFiles(KERNEL, "one/6.12/linux", "one/6.12/initrd.img")
    assert entry(System("Debian 13", "debian"), files, "root=UUID=1 rw quiet").splitlines() == [
        "title Debian 13",
        "version 6.12.48+deb13-amd64",
        "sort-key debian",
        "options root=UUID=1 rw quiet",
        "linux /one/6.12/linux",
        "initrd /one/6.12/initrd.img",
    ]


def test_grub_gives_each_word_of_the_command_line_as_it_stands() -> None:
    cmdline = "root=UUID=1 rw a=$b c={d} e=f;g console=ttyS1,9600"
    text = grub_config([linux_entry("It's", "6.1", "/linux", "/initrd", cmdline)], 3, cmdline)
    assert "set timeout=3\n" in text
    assert "menuentry 'It'\\''s, with Linux 6.1' --id linux-6.1 {\n" in text
    assert "  linux /linux root=UUID=1 rw 'a=$b' 'c={d}' 'e=f;g' console=ttyS1,9600\n  initrd /initrd\n" in text


@pytest.mark.parametrize(
    ("cmdline", "said"),
    [
        ("console=ttyS0,115200 console=ttyS1 quiet", "serial --unit=1 --speed=9600"),
        ("console=tty0 console=ttyS0,115200n8", "serial --unit=0 --speed=115200"),
        ("quiet", None),
    ],
)
def test_grubs_menu_is_on_the_serial_line_that_the_kernel_uses(cmdline: str, said: str | None) -> None:
    text = grub_config([], 0, cmdline)
    assert (said in text) if said else ("serial" not in text)


def test_a_chain_entry_has_nothing_to_load_but_the_program() -> None:
    assert chain_entry("T", "6.1", "/EFI/Linux/a.efi").commands == (("chainloader", "/EFI/Linux/a.efi"),)


BOOT = bytes(range(256)) * 2
BOOT = BOOT[:0x66] + b"\xeb\x05" + BOOT[0x68:]
CORE = b"\x01" * (5 * SECTOR + 7)


def test_the_boot_sector_keeps_the_disks_table_and_learns_where_the_core_is() -> None:
    before = b"\xaa" * SECTOR
    sector = boot_sector(BOOT, before, 2048)
    assert struct.unpack_from("<Q", sector, 0x5C) == (2048,)
    assert sector[0x66:0x68] == b"\x90\x90"
    assert sector[0x03:0x5A] == before[0x03:0x5A]
    assert sector[0x1B8:] == before[0x1B8:]
    assert sector[:3] == BOOT[:3]
    assert sector[0x68:0x1B8] == BOOT[0x68:0x1B8]


def test_the_cores_first_sector_lists_the_rest_of_it() -> None:
    placed = placed_core(CORE, 2048)
    assert len(placed) == 6 * SECTOR
    assert struct.unpack_from("<QHH", placed, 0x1F4) == (2049, 5, 0x820)
    assert placed[SECTOR : len(CORE)] == CORE[SECTOR:]


def test_only_the_boot_sector_and_the_bios_partition_are_written(tmp_path: Path) -> None:
    image = tmp_path / "disk"
    image.write_bytes(b"\x55" * (3 * MIB))
    write_bios_boot(image, PARTITION, BOOT, CORE)
    data = image.read_bytes()
    core = placed_core(CORE, MIB // SECTOR)
    assert data[MIB : MIB + len(core)] == core
    assert set(data[SECTOR:MIB]) == set(data[MIB + len(core) :]) == {0x55}
    assert data[0x1B8:SECTOR] == b"\x55" * (SECTOR - 0x1B8)


@pytest.mark.parametrize(
    ("boot", "core", "size"),
    [(BOOT, CORE, 4 * SECTOR), (BOOT[:-1], CORE, MIB), (bytes(512), CORE, MIB), (BOOT, b"", MIB)],
)
def test_what_is_no_grub_or_has_no_room_is_refused(tmp_path: Path, boot: bytes, core: bytes, size: int) -> None:
    (tmp_path / "disk").write_bytes(bytes(3 * MIB))
    with pytest.raises(StepError, match="GRUB"):
        write_bios_boot(tmp_path / "disk", replace(PARTITION, size=size), boot, core)
    assert (tmp_path / "disk").read_bytes() == bytes(3 * MIB)

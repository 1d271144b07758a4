"""Keys in a copy of the firmware's variables, as virt-firmware reads them."""

from __future__ import annotations

from pathlib import Path

import pytest
from virt.firmware.varstore import edk2

from os_image_composer.boot.enrolled import read_updates, with_keys
from os_image_composer.boot.firmware import SECURE, VENDOR, Firmware, find_firmware
from os_image_composer.boot.machine import Machine, SecureBoot
from os_image_composer.boot.qemu import qemu_argv
from os_image_composer.cli.main import run
from os_image_composer.errors import BootError
from os_image_composer.formats.window import FormatError
from os_image_composer.signing.enrolment import enrolment
from support.boot_keys import KeyFolder

SECONDS = 1_700_000_000


@pytest.fixture
def folder(keys: KeyFolder, tmp_path: Path) -> Path:
    made = tmp_path / "a.secure-boot"
    made.mkdir()
    for name, content in enrolment(keys.platform(), SECONDS).items():
        (made / name).write_bytes(content)
    return made


def test_variables_hold_the_keys_and_secure_boot_is_on(folder: Path, tmp_path: Path) -> None:
    original = find_firmware(SECURE).variables.read_bytes()
    flash = tmp_path / "variables.fd"
    flash.write_bytes(with_keys(original, read_updates(folder)))
    found = edk2.Edk2VarStore(str(flash)).get_varlist()
    assert set(found) == {"PK", "KEK", "db", "SecureBootEnable"}
    for name in ("PK", "KEK", "db"):
        assert found[name].data == (folder / f"{name}.esl").read_bytes()
        assert found[name].attr == 0x27
        assert (found[name].time.year, found[name].time.month, found[name].time.day) == (2023, 11, 14)
    assert found["SecureBootEnable"].data == b"\x01"
    assert flash.stat().st_size == len(original)


def test_variables_that_hold_something_already_are_left_alone(folder: Path) -> None:
    keys = read_updates(folder)
    once = with_keys(find_firmware(SECURE).variables.read_bytes(), keys)
    with pytest.raises(FormatError):
        with_keys(once, keys)


@pytest.mark.parametrize("data", [b"", bytes(100), bytes(0x84000), b"\xff" * 0x84000])
def test_what_is_no_store_of_variables_is_refused(folder: Path, data: bytes) -> None:
    with pytest.raises(FormatError):
        with_keys(data, read_updates(folder))


def test_keys_without_room_are_refused(folder: Path) -> None:
    content, seconds = read_updates(folder)["db"]
    keys = {**read_updates(folder), "db": (content * 400, seconds)}
    with pytest.raises(FormatError):
        with_keys(find_firmware(SECURE).variables.read_bytes(), keys)


def test_image_without_keys_beside_it_is_not_booted_under_secure_boot(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = tmp_path / "a.raw"
    image.write_bytes(bytes(512) + b"EFI PART" + bytes(1 << 16))
    assert run(["boot", "--check", "--secure-boot", str(image)]) == 1
    told = capsys.readouterr().err
    assert "error[no-enrolment]" in told
    assert str(tmp_path / "a.secure-boot" / "PK.auth") in told


def test_damaged_keys_are_told_by_their_file(folder: Path) -> None:
    (folder / "KEK.auth").write_bytes(b"odd")
    with pytest.raises(BootError) as caught:
        read_updates(folder)
    assert caught.value.reference == "bad-enrolment"
    assert str(folder / "KEK.auth") in caught.value.message


def test_own_keys_and_the_vendors_exclude_each_other(tmp_path: Path) -> None:
    assert run(["boot", "--check", "--secure-boot", "--vendor-keys", str(tmp_path / "a.raw")]) == 2


def test_vendors_keys_are_in_variables_of_their_own() -> None:
    assert find_firmware(VENDOR).variables != find_firmware(SECURE).variables


def test_firmware_that_needs_system_management_mode_gets_it() -> None:
    firmware = Firmware(Path("/fw/code.fd"), Path("/fw/vars.fd"), smm=True)
    machine = Machine(secure_boot=SecureBoot(Path("/keys")))
    argv = qemu_argv("qemu", Path("/a.raw"), machine, firmware, Path("/tmp/vars.fd"))
    assert "q35,smm=on" in argv
    assert "driver=cfi.pflash01,property=secure,value=on" in argv

"""Live ISOs that are signed: what lies on them, what starts under secure boot from CD and stick, and what does not.

A refusal never ends QEMU: the firmware waits at its menu. So the words on the console count.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from os_image_composer.boot.firmware import SECURE, Firmware, find_firmware
from os_image_composer.boot.machine import FirmwareKind, Machine, Media, SecureBoot
from os_image_composer.boot.qemu import find_program, qemu_argv, run_guest
from os_image_composer.boot.report import Probe
from os_image_composer.boot.trial import boot_image
from os_image_composer.boot.verdict import BootVerdict
from os_image_composer.build.canonical import sha256_file
from os_image_composer.build.clock import SystemClock
from os_image_composer.formats.iso9660 import find_file, read_medium
from os_image_composer.formats.partition_table import read_partition_table
from os_image_composer.formats.pe import content, parse_pe
from os_image_composer.formats.window import FileSource, Window
from os_image_composer.signing.authenticode import signed_program
from support.boot_keys import KeyFolder
from support.signed_image import LOADER, SignedImage, unsigned
from support.small_images import made
from support.workshop import CHECKOUT, Workshop

pytestmark = [pytest.mark.build, pytest.mark.matrix]

SECONDS = 600  # under TCG, on two busy cores
CHECK = CHECKOUT / "config/osv/live/dracut/live-check.sh"
UKI = "EFI/live/live.efi"
SEALED = "immutability: {enabled: true}"
PROBES = (
    Probe("lockdown", "cat /sys/kernel/security/lockdown"),
    Probe("table", "dmsetup table live-root"),
    Probe("mounts", "findmnt -rno FSTYPE,OPTIONS /run/live/system; findmnt -rno FSTYPE /"),
)
Build = Callable[..., SignedImage]


def template(keys: KeyFolder, more: str, **of_keys: str) -> str:
    packages = "systemd-boot-efi" + (", systemd-cryptsetup, dmsetup" if more == SEALED else "")
    return (
        'image: {name: signed-cd, version: "1.0"}\n'
        "target: {os: debian, dist: debian13, arch: x86_64, imageType: iso}\n"
        f"systemConfig:\n  name: cd\n  packages: [{packages}]\n  secureBoot: {keys.template(**of_keys)}\n"
        + (f"  {more}\n" if more else "")
    )


def _build(workshop: Workshop, folder: Path, keys: KeyFolder, more: str = "", **of_keys: str) -> SignedImage:
    (folder / "template.yml").write_text(template(keys, more, **of_keys))
    done = workshop.run("build", "--output", str(folder / "out"), str(folder / "template.yml"))
    assert done.returncode == 0, done.stdout + done.stderr
    image = folder / "out" / "signed-cd-1.0.iso"
    return SignedImage(image, keys, partitions(image)[1][0])


def partitions(image: Path) -> list[tuple[int, int]]:
    with FileSource(image) as source:
        table = read_partition_table(Window.over(source))
    assert table is not None
    return [(p.start, p.size) for p in table.partitions]


@pytest.fixture(scope="module")
def build(workshop: Workshop, keys: KeyFolder, tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Builds the ISO with what a template says further, each once."""
    found: dict[str, SignedImage] = {}

    def built(more: str = "") -> SignedImage:
        if more not in found:
            found[more] = _build(workshop, tmp_path_factory.mktemp("iso"), keys, more)
        return found[more]

    return built


def test_the_uefi_side_is_systemd_boot_and_one_signed_program(build: Build) -> None:
    iso = build()
    listed = made("mdir", "-/", "-b", "-i", f"{iso.image}@@{iso.esp}", "::").stdout.decode().splitlines()
    assert sorted(line.removeprefix("::/") for line in listed if not line.endswith("/")) == [
        *(LOADER, UKI),
        *("loader/entries/live-changes.conf", "loader/entries/live-check.conf", "loader/entries/live.conf"),
        "loader/loader.conf",
    ]
    assert iso.program("loader/loader.conf").decode().splitlines()[:2] == ["timeout 5", "default live[.+]*conf"]
    with FileSource(iso.image) as source:
        medium = read_medium(Window.over(source))
    assert medium is not None
    assert command_line(iso) == [
        *(f"image.live={medium.label}", "image.live.choice", "rd.systemd.gpt_auto=0"),
        *("console=tty0", "console=ttyS0,115200"),
    ]


def command_line(iso: SignedImage) -> list[str]:
    uki = Window.of(iso.program(UKI))
    return content(parse_pe(uki), uki, ".cmdline").rstrip(b"\0").decode().split()


def test_verify_finds_and_checks_the_signed_programs_and_names_a_changed_one(
    workshop: Workshop, build: Build, tmp_path: Path
) -> None:
    iso = build()
    assert sorted(p.name for p in iso.enrolment.iterdir()) == [
        f"{name}.{suffix}" for name in ("KEK", "PK", "db") for suffix in ("auth", "der", "esl")
    ]
    words = ("verify", "--db", str(iso.keys.file("db.pem")))
    done = workshop.run(*words, str(iso.image))
    assert done.returncode == 0, done.stdout
    assert f"ok      /{LOADER}: signed by" in done.stdout
    assert f"ok      /{UKI}: signed by" in done.stdout
    changed = iso.with_program(tmp_path, UKI, iso.changed(UKI, ".initrd"))
    done = workshop.run(*words, str(changed))
    assert done.returncode == 1
    assert f"failed  /{UKI}" in done.stdout


def test_verify_reads_a_sealed_root_whole_and_names_the_block_that_was_changed(
    workshop: Workshop, build: Build, tmp_path: Path
) -> None:
    iso = build(SEALED)
    words = ("verify", "--db", str(iso.keys.file("db.pem")))
    done = workshop.run(*words, str(iso.image))
    assert done.returncode == 0, done.stdout
    assert f"ok      sealed root of /{UKI}: all of it has the root hash" in done.stdout
    copy = tmp_path / iso.image.name
    copy.write_bytes(iso.image.read_bytes())
    flip(copy, squashfs_start(iso.image) + 5 * 4096)
    done = workshop.run(*words, str(copy))
    assert done.returncode == 1
    assert f"failed  sealed root of /{UKI}: changed: block 5 of the data (/live/root.squashfs); 1 in all" in done.stdout


def squashfs_start(image: Path) -> int:
    """Where the squashfs begins, whose superblock is the first of its bytes."""
    with FileSource(image) as source:
        found = find_file(Window.over(source), "live/root.squashfs")
        assert found is not None
        first = found.read(0, 4096)
    return image.read_bytes().index(first)


def test_the_mediums_digest_covers_the_efi_system_partition(build: Build, tmp_path: Path) -> None:
    iso = build()
    assert check(iso.image) == "0 the medium is whole"
    copy = tmp_path / "copy.iso"
    copy.write_bytes(iso.image.read_bytes())
    start, size = partitions(iso.image)[1]
    for place in (start, start + size // 2, start + size - 1):
        flip(copy, place)
        assert check(copy) == "1 this medium is damaged: write it once more, or use another one"
        flip(copy, place)


@pytest.mark.parametrize("more", ["", SEALED])
def test_same_lock_same_bits(workshop: Workshop, build: Build, keys: KeyFolder, tmp_path: Path, more: str) -> None:
    """The second build starts from an empty store."""
    first = build(more)
    other = Workshop(tmp_path / "other")
    other.cache.mkdir(parents=True, mode=0o700)
    (other.cache / "packages").symlink_to(workshop.cache / "packages")
    (other.cache / "locks").symlink_to(workshop.cache / "locks")
    try:
        assert sha256_file(_build(other, tmp_path, keys, more).image) == sha256_file(first.image)
    finally:
        other.bare_sandbox().remove([other.cache / "store", other.cache / "tmp"])


@pytest.mark.boot
@pytest.mark.timeout(SECONDS + 900)
@pytest.mark.parametrize("more", ["", SEALED], ids=["plain", "sealed"])
@pytest.mark.parametrize("medium", [(), ("--usb",)], ids=["cd", "usb"])
def test_signed_iso_starts_under_secure_boot(
    workshop: Workshop, build: Build, medium: tuple[str, ...], more: str
) -> None:
    words = ("boot", "--check", "--json", "--timeout", str(SECONDS), "--secure-boot", *medium)
    done = workshop.run(*words, str(build(more).image))
    verdict = json.loads(done.stdout)
    assert (verdict["level"], verdict["passed"], verdict["failedUnits"]) == ("self-report", True, []), done.stdout
    assert verdict["secureBoot"] is True


@pytest.mark.boot
@pytest.mark.timeout(SECONDS + 900)
@pytest.mark.parametrize("more", ["", SEALED], ids=["plain", "sealed"])
def test_a_bios_starts_the_same_iso(workshop: Workshop, build: Build, more: str) -> None:
    words = ("boot", "--check", "--json", "--timeout", str(SECONDS), "--firmware", "bios")
    verdict = json.loads(workshop.run(*words, str(build(more).image)).stdout)
    assert (verdict["level"], verdict["passed"], verdict["failedUnits"]) == ("self-report", True, [])


def boot(iso: SignedImage, image: Path, media: Media = Media.CD) -> BootVerdict:
    machine = Machine(media=media, secure_boot=SecureBoot(iso.enrolment))
    return boot_image(image, SystemClock(), machine=machine, limit=SECONDS, probes=PROBES)


@pytest.mark.boot
@pytest.mark.timeout(SECONDS + 900)
def test_the_root_of_a_sealed_iso_is_read_through_its_hash_tree(build: Build) -> None:
    iso = build(SEALED)
    verdict = boot(iso, iso.image)
    assert verdict.passed, verdict.reason
    assert "[integrity]" in verdict.answer("lockdown").output
    prefix = "image.live.verity="
    (root_hash,) = (word.removeprefix(prefix) for word in command_line(iso) if word.startswith(prefix))
    table = verdict.answer("table").output
    assert " verity " in table and root_hash in table and "panic_on_corruption" in table, table
    system, root = verdict.answer("mounts").output.splitlines()[:2]
    assert (system.split()[0], root) == ("squashfs", "overlay")


@pytest.mark.boot
@pytest.mark.timeout(SECONDS + 900)
def test_a_sealed_iso_with_another_root_filesystem_does_not_get_as_far_as_a_login(build: Build, tmp_path: Path) -> None:
    """One bit turned over in the first block of its squashfs."""
    iso = build(SEALED)
    copy = tmp_path / "copy.iso"
    copy.write_bytes(iso.image.read_bytes())
    flip(copy, squashfs_start(iso.image) + 100)
    verdict = boot(iso, copy)
    told = "\n".join(verdict.lines)
    assert not verdict.passed
    assert "Linux version" in told  # the UKI is whole
    assert "login:" not in told
    assert "dm-verity device corrupted" in told or "is corrupted" in told, verdict.lines[-20:]


ATTACKS = ("byte of the initrd", "byte of the command line", "UKI of another key", "unsigned UKI", "unsigned loader")


@pytest.mark.boot
@pytest.mark.timeout(SECONDS + 900)
@pytest.mark.parametrize("attack", ATTACKS)
def test_attack_is_refused_before_a_kernel_starts(build: Build, tmp_path: Path, attack: str) -> None:
    iso = build()
    uki = iso.program(UKI)
    name, program = {
        "byte of the initrd": (UKI, iso.changed(UKI, ".initrd")),
        "byte of the command line": (UKI, iso.changed(UKI, ".cmdline", b"gpt_auto=0", b"gpt_auto=1")),
        "UKI of another key": (UKI, signed_program(unsigned(uki, tmp_path), iso.keys.signer("KEK"), "uki")),
        "unsigned UKI": (UKI, unsigned(uki, tmp_path)),
        "unsigned loader": (LOADER, unsigned(iso.program(LOADER), tmp_path)),
    }[attack]
    assert program != iso.program(name)
    verdict = boot(iso, iso.with_program(tmp_path, name, program))
    told = "\n".join(verdict.lines)
    assert not verdict.passed
    assert "access denied" in told.lower(), verdict.lines[-20:]
    assert "Linux version" not in told


@pytest.mark.boot
@pytest.mark.timeout(2 * SECONDS + 900)
def test_check_from_systemd_boots_menu_starts_a_whole_medium_and_stops_at_a_damaged_one(
    build: Build, tmp_path: Path
) -> None:
    iso = build()
    assert first_said(iso, iso.image, 2, "medium is damaged|the medium is whole|login: ") == "the medium is whole"
    copy = tmp_path / "copy.iso"
    copy.write_bytes(iso.image.read_bytes())
    flip(copy, partitions(copy)[0][1] // 2)
    assert first_said(iso, copy, 2, "this medium is damaged|login: ") == "this medium is damaged"


@pytest.mark.boot
@pytest.mark.timeout(SECONDS + 900)
def test_an_entry_that_somebody_changed_says_nothing_to_the_system(build: Build, tmp_path: Path) -> None:
    """Under secure boot the stub does not take options of an entry, and the initrd knows no such name."""
    iso = build()
    entry = b"title other\nsort-key live-0\nefi /EFI/live/live.efi\noptions image.live.check init=/bin/sh\n"
    copy = iso.with_program(tmp_path, "loader/entries/other.conf", entry)
    made("mcopy", "-D", "o", "-i", f"{copy}@@{iso.esp}", str(loader_conf(tmp_path)), "::loader/loader.conf")
    verdict = boot(iso, copy)
    assert verdict.passed, verdict.reason
    told = "\n".join(verdict.lines)
    assert "init=/bin/sh" not in told
    assert "checking the medium" not in told


def loader_conf(folder: Path) -> Path:
    path = folder / "loader.conf"
    path.write_text("timeout 0\ndefault other.conf\n")
    return path


@pytest.mark.boot
@pytest.mark.timeout(2 * SECONDS + 900)
def test_systemd_boot_enrols_the_keys_from_a_cd_and_then_starts_it(
    workshop: Workshop, keys: KeyFolder, tmp_path: Path
) -> None:
    iso = _build(workshop, tmp_path, keys, enroll="if-safe")
    usual = find_firmware(SECURE)
    variables = tmp_path / "variables.fd"
    variables.write_bytes(usual.variables.read_bytes())
    firmware = Firmware(usual.code, variables)
    machine = Machine(media=Media.CD)
    argv = qemu_argv(find_program(), iso.image, machine, firmware, variables)
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS)
    assert b"enroll" in done.stdout.lower(), done.stdout[-2000:]
    machine = Machine(media=Media.CD, firmware=firmware)
    verdict = boot_image(iso.image, SystemClock(), machine=machine, limit=SECONDS)
    assert verdict.passed, verdict.reason
    assert verdict.secure_boot is True


def first_said(iso: SignedImage, image: Path, entry: int, pattern: str) -> str:
    """What of `pattern` the console says first once the entry (counted from 0) of systemd-boot's menu was chosen."""
    machine = Machine(kind=FirmwareKind.UEFI, media=Media.CD, secure_boot=SecureBoot(iso.enrolment))
    with run_guest(image, machine, SystemClock()) as guest:
        guest.console.expect("Boot in", SECONDS)
        for _ in range(entry):
            guest.console.send("j")  # the next entry, in one byte
            time.sleep(0.5)
        guest.console.send("\r")
        return guest.console.expect(pattern, SECONDS)


def check(image: Path) -> str:
    """What a live system says of a medium with these bytes, by the script that it has."""
    done = subprocess.run(["sh", str(CHECK), str(image)], capture_output=True, text=True, timeout=120)
    return f"{done.returncode} {done.stdout.splitlines()[-1]}"


def flip(file: Path, offset: int) -> None:
    with file.open("r+b") as stream:
        stream.seek(offset)
        (byte,) = stream.read(1)
        stream.seek(offset)
        stream.write(bytes([byte ^ 0x40]))

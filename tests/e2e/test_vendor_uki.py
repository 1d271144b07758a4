"""A vendor's signed chain with a unified kernel image: shim, systemd-boot, UKI, each as its package has it. By the
data for Azure Linux, from a look-alike of its repository: nothing here says anything about the vendor's own packages.

The look-alike's UKI has a kernel and an initrd that this product made for another image, and the vendor's command line,
which names no root. Two builds, four starts.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from virt.firmware.varstore import edk2

from os_image_composer.boot.enrolled import read_updates, with_keys
from os_image_composer.boot.firmware import SECURE, VENDOR, Firmware, find_firmware
from os_image_composer.boot.machine import Machine
from os_image_composer.boot.report import Probe
from os_image_composer.boot.trial import boot_image
from os_image_composer.boot.verdict import BootVerdict, failed_on_console
from os_image_composer.build.clock import SystemClock
from os_image_composer.formats.pe import content, parse_pe
from os_image_composer.formats.window import Window
from os_image_composer.signing.enrolment import enrolment
from support.boot_keys import KeyFolder
from support.deb_repository import served
from support.lookalike.made import Lookalikes
from support.lookalike.vendor_chain import LOADER, with_vendor_chain
from support.own_report import EARLY_UNIT, OTHERS_DONE, asking_script
from support.signed_image import SignedImage, unsigned
from support.small_images import MIB
from support.small_images import made as made_by
from support.workshop import Workshop

pytestmark = [pytest.mark.build, pytest.mark.boot, pytest.mark.matrix]

# Under TCG, on two busy cores; a quiet machine takes a quarter.
SECONDS = 900
PROBES = (
    Probe("firmware", "od -An -t u1 /sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"),
    Probe("lockdown", "cat /sys/kernel/security/lockdown"),
    Probe("root", "findmnt --noheadings --output SOURCE,FSTYPE,OPTIONS /"),
    Probe("kernel-line", "cat /proc/cmdline"),
    Probe("others", OTHERS_DONE.format(unit="ask.service")),
    Probe("broken", "systemctl list-units --failed --plain --no-legend --no-pager"),
)
HEAD = """\
image: {{name: {name}, version: "1.0"}}
target: {{os: azure-linux, dist: azl3, arch: x86_64, imageType: raw}}
systemConfig:
  name: chain
  hostname: azl3
"""
CHAIN = """\
  bootloader: {chain: vendor}
  packages: [kernel-uki]
  services: {enable: [ask]}
  additionalFiles:
    - {local: ask.sh, final: /usr/local/sbin/ask, mode: '0755'}
    - {local: ask.service, final: /etc/systemd/system/ask.service}
"""
ROOT = 513 * MIB
REFUSED_WITHIN = 300
COMMAND_LINE = b"console=ttyS0"  # kernel-uki.spec


@dataclass(frozen=True)
class VendorImage:
    """`programs` are the signed files as the packages have them, by their place on the EFI system partition."""

    image: SignedImage
    uki: str
    programs: dict[str, str]


def build(workshop: Workshop, settings: Path, folder: Path, name: str, system: str) -> Path:
    template = folder / f"{name}.yml"
    template.write_text(HEAD.format(name=name) + system)
    done = workshop.run("--config", str(settings), "build", "--output", str(folder / name), str(template))
    assert done.returncode == 0, done.stdout + done.stderr
    (image,) = (folder / name).rglob("*.raw")
    return image


def vendors_uki(own: SignedImage, name: str) -> tuple[bytes, str]:
    """The UKI of an image with the vendor's command line in place of its own, and the kernel's release."""
    program = own.program(name)
    image, file = parse_pe(Window.of(program)), Window.of(program)
    said = content(image, file, ".cmdline")
    padded = COMMAND_LINE + b" " * (len(said) - len(COMMAND_LINE) - 1) + b"\0"
    return own.changed(name, ".cmdline", said, padded), content(image, file, ".uname").decode().strip("\0\n")


@pytest.fixture(scope="module")
def vendor(keys: KeyFolder) -> KeyFolder:
    """The keys that stand for the vendor's."""
    return keys


@pytest.fixture(scope="module")
def made(
    workshop: Workshop,
    rpm_settings: Path,
    lookalikes: Lookalikes,
    vendor: KeyFolder,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[VendorImage]:
    folder = tmp_path_factory.mktemp("vendor")
    own = SignedImage(build(workshop, rpm_settings, folder, "azl3-own", ""), vendor)
    uki, release = vendors_uki(own, "EFI/Linux/azl3-own.efi")
    chain = with_vendor_chain(lookalikes, folder / "repository", uki, release, vendor.signer())
    (folder / "ask.sh").write_text(asking_script(PROBES))
    (folder / "ask.service").write_text(EARLY_UNIT.format(program="/usr/local/sbin/ask"))
    settings = folder / "settings.yml"
    with served(chain.root) as server:
        settings.write_text(chain.settings_text(server.url))
        image = SignedImage(build(workshop, settings, folder, "azl3-vendor", CHAIN), vendor)
    name = f"vmlinuz-uki-{release}.efi"
    places = {
        "EFI/BOOT/BOOTX64.EFI": "boot/efi/EFI/BOOT/bootx64.efi",
        "EFI/BOOT/grubx64.efi": LOADER.lstrip("/"),
        "EFI/BOOT/mmx64.efi": "boot/efi/EFI/azurelinux/mmx64.efi",
        f"EFI/Linux/{name}": f"boot/{name}",
    }
    yield VendorImage(image, f"EFI/Linux/{name}", places)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def firmware(vendor: KeyFolder, tmp_path_factory: pytest.TempPathFactory) -> Firmware:
    """Secure boot with Microsoft's keys in db, and the vendor's beside them."""
    folder = tmp_path_factory.mktemp("firmware")
    for name, data in enrolment(vendor.platform(), 1_700_000_000).items():
        (folder / name).write_bytes(data)
    updates = dict(read_updates(folder))
    microsoft = edk2.Edk2VarStore(str(find_firmware(VENDOR).variables)).get_varlist()["db"].data
    updates["db"] = (microsoft + updates["db"][0], updates["db"][1])
    empty = find_firmware(SECURE)
    variables = folder / "variables.fd"
    variables.write_bytes(with_keys(empty.variables.read_bytes(), updates))
    return Firmware(empty.code, variables, empty.smm)


def boot(image: Path, firmware: Firmware, limit: float = SECONDS) -> BootVerdict:
    return boot_image(image, SystemClock(), machine=Machine(firmware=firmware), limit=limit)


@pytest.mark.timeout(2 * SECONDS + 1200)
def test_chain_boots_under_secure_boot_with_the_vendors_keys(made: VendorImage, firmware: Firmware) -> None:
    verdict = boot(made.image.image, firmware)
    assert verdict.passed, (verdict.reason, verdict.lines[-40:])
    assert verdict.secure_boot is True
    assert (verdict.failed_units, failed_on_console(verdict.lines)) == ((), ())
    assert (verdict.answer("others").status, verdict.answer("broken").output) == (0, "")
    assert verdict.answer("firmware").output.split()[-1] == "1"
    assert "[integrity]" in verdict.answer("lockdown").output
    assert verdict.answer("kernel-line").output.split() == [COMMAND_LINE.decode()]
    assert verdict.answer("root").output.split()[:2] == ["/dev/vda2", "ext4"]


@pytest.mark.timeout(600)
def test_programs_that_start_are_the_packages_and_no_others(made: VendorImage) -> None:
    area = f"{made.image.image}@@{1 << 20}"
    listed = [name for name in esp_files(area) if name.lower().endswith(".efi")]
    assert sorted(listed) == sorted(made.programs)
    for place, path in made.programs.items():
        assert made.image.program(place) == of_root(made.image.image, f"/{path}"), place


@pytest.mark.timeout(SECONDS + 120)
@pytest.mark.parametrize("attack", ["byte of the initrd", "command line", "unsigned boot loader"])
def test_attack_is_refused_before_a_kernel_starts(
    made: VendorImage, firmware: Firmware, tmp_path: Path, attack: str
) -> None:
    loader = "EFI/BOOT/grubx64.efi"
    name, program = {
        "byte of the initrd": (made.uki, made.image.changed(made.uki, ".initrd")),
        "command line": (made.uki, made.image.changed(made.uki, ".cmdline", b"ttyS0", b"ttyS1")),
        "unsigned boot loader": (loader, unsigned(made.image.program(loader), tmp_path)),
    }[attack]
    assert program != made.image.program(name)
    verdict = boot(made.image.with_program(tmp_path, name, program), firmware, REFUSED_WITHIN)
    told = "\n".join(verdict.lines)
    assert not verdict.passed
    assert verdict.reason.startswith("shim refused a signature"), (verdict.reason, told)
    assert "Linux version" not in told


def esp_files(area: str) -> list[str]:
    """Every file of an EFI system partition, by its path."""
    said = made_by("mdir", "-/", "-b", "-i", area, "::/").stdout.decode().splitlines()
    return [line.removeprefix("::/") for line in said if line and not line.endswith("/")]


def of_root(image: Path, path: str) -> bytes:
    """A file of the root filesystem, which begins where the OS default template says."""
    return made_by("debugfs", "-R", f"cat {path}", f"{image}?offset={ROOT}").stdout

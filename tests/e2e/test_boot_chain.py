"""Each way to start an image is built and booted: boot loaders, firmware, and how kernels are kept.

Azure Linux is made from a look-alike of its repository: nothing here says anything about the vendor's own packages.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from os_image_composer.boot.machine import FirmwareKind, Machine
from os_image_composer.boot.qemu import run_guest
from os_image_composer.build.clock import SystemClock
from support.workshop import CHECKOUT, Workshop

pytestmark = [pytest.mark.build, pytest.mark.boot]

# Under TCG, on two busy cores; a quiet machine takes a quarter.
SECONDS = 600

BIOS_DISK = """
disk:
  name: bios
  size: 4GiB
  partitions:
    - {id: bios, type: bios, start: 1MiB, end: 2MiB, flags: [bios_grub]}
    - {id: root, type: linux-root-amd64, fsType: ext4, start: 2MiB, end: "0", mountPoint: /}
"""


@dataclass(frozen=True)
class Chain:
    """`system` are keys of systemConfig; `packages` what the distribution brings for it, by family."""

    system: str
    packages: dict[str, tuple[str, ...]]
    disk: str = ""


CHAINS = {
    "systemd-boot-uki": Chain("", {}),
    "systemd-boot-entries": Chain("  kernel: {uki: false}\n", {}),
    "grub-efi": Chain(
        "  bootloader: {provider: grub}\n",
        {
            "debian": ("grub-common", "grub-efi-amd64-bin"),
            "azure-linux": ("grub2", "grub2-efi", "grub2-efi-unsigned"),
        },
    ),
    "grub-efi-uki": Chain(
        "  bootloader: {provider: grub}\n  kernel: {uki: true}\n",
        {
            "debian": ("grub-common", "grub-efi-amd64-bin"),
            "azure-linux": ("grub2", "grub2-efi", "grub2-efi-unsigned"),
        },
    ),
    "grub-bios": Chain(
        "  bootloader: {bootType: legacy, provider: grub}\n",
        {"debian": ("grub-common", "grub-pc-bin"), "azure-linux": ("grub2", "grub2-pc")},
        BIOS_DISK,
    ),
    "vendor": Chain(
        "  bootloader: {provider: grub, chain: vendor}\n",
        {"debian": ("shim-signed", "grub-efi-amd64-signed", "shim-helpers-amd64-signed")},
    ),
}
TARGETS = {"debian12": "debian", "debian13": "debian", "azl3": "azure-linux"}
#: One of each family and of each firmware is booted in every run.
ALWAYS = {("azl3", "grub-bios"), ("debian12", "grub-efi")}


def template(dist: str, chain: Chain, more: str = "") -> str:
    os = TARGETS[dist]
    named = f"  packages: [{', '.join(chain.packages.get(os, ()))}]\n" if chain.packages else ""
    return (
        f'image: {{name: {dist}-chain, version: "1.0"}}\n'
        f"target: {{os: {os}, dist: {dist}, arch: x86_64, imageType: raw}}\n"
        f"{chain.disk}systemConfig:\n  name: chain\n  hostname: {dist}\n  immutability: {{enabled: false}}\n"
        f"{named}{chain.system}{more}"
    )


def combinations() -> list[object]:
    found = [(d, c) for d, os in TARGETS.items() for c, chain in CHAINS.items() if c != "vendor" or os == "debian"]
    return [pytest.param(*one, marks=() if one in ALWAYS else pytest.mark.matrix) for one in found]


Build = Callable[[str, str], Path]


@pytest.fixture
def build(workshop: Workshop, rpm_settings: Path, tmp_path: Path) -> Build:
    """Builds a template of a distribution, and gives the image."""

    def built(dist: str, text: str) -> Path:
        file = tmp_path / "template.yml"
        file.write_text(text)
        done = workshop.run("--config", str(rpm_settings), "build", "--output", str(tmp_path / "out"), str(file))
        assert done.returncode == 0, done.stdout + done.stderr
        (image,) = (tmp_path / "out").rglob("*.raw")
        return image

    return built


def check(workshop: Workshop, image: Path, dist: str, *flags: str) -> None:
    """It boots; what says so is the system itself where its systemd takes units from outside, else its console."""
    done = workshop.run("boot", "--check", "--json", "--timeout", str(SECONDS), *flags, str(image))
    assert done.stdout, done.stderr
    verdict = json.loads(done.stdout)
    level = "self-report" if dist == "debian13" else "console"
    assert (verdict["level"], verdict["passed"], verdict["failedUnits"]) == (level, True, []), done.stdout


@pytest.mark.timeout(SECONDS + 900)
@pytest.mark.parametrize(("dist", "chain"), combinations())
def test_image_boots_without_a_failed_unit(workshop: Workshop, build: Build, dist: str, chain: str) -> None:
    # The vendor's chain is for firmware with the keys that machines come with: secure boot is on, or the check fails.
    flags = ("--vendor-keys",) if chain == "vendor" else ()
    check(workshop, build(dist, template(dist, CHAINS[chain])), dist, *flags)


def test_samples_ask_for_what_is_booted_here() -> None:
    """The samples differ from the templates above in what has no part in starting."""
    for name in ("azl3-x86_64-grub-bios-raw", "debian12-x86_64-grub-efi-raw"):
        text = (CHECKOUT / "image-templates" / f"{name}.yml").read_text()
        dist, _, chain = name.removesuffix("-raw").partition("-x86_64-")
        assert all(package in text for package in CHAINS[chain].packages[TARGETS[dist]])


COUNTED = """
  bootloader: {tries: 3, kernels: all, timeout: 1}
  users: [{name: admin, sudo: true, shell: /bin/bash, password: change-me-first}]
"""


@pytest.mark.matrix
@pytest.mark.timeout(2 * SECONDS + 900)
@pytest.mark.parametrize("chain", ["grub-efi", "grub-bios"])
def test_menu_of_grub_has_every_kernel_and_starts_the_one_that_is_chosen(build: Build, chain: str) -> None:
    """The first by itself when the time is over, the second when it is chosen."""
    packages = ", ".join(("linux-image-cloud-amd64", "sudo", *CHAINS[chain].packages["debian"]))
    bios = "bootType: legacy, " if chain == "grub-bios" else ""
    text = (
        f'image: {{name: debian12-menu, version: "1.0"}}\n'
        f"target: {{os: debian, dist: debian12, arch: x86_64, imageType: raw}}\n{CHAINS[chain].disk}"
        f"systemConfig:\n  name: menu\n  hostname: debian12\n  packages: [{packages}]\n"
        f"  bootloader: {{{bios}provider: grub, kernels: all, timeout: 8}}\n"
        "  users: [{name: admin, shell: /bin/bash, password: change-me-first}]\n"
    )
    image = build("debian12", text)
    kind = FirmwareKind.BIOS if chain == "grub-bios" else FirmwareKind.UEFI
    first, second = (kernel_of(image, kind, entry) for entry in (0, 1))
    assert {first.endswith("-cloud-amd64"), second.endswith("-cloud-amd64")} == {True, False}


def kernel_of(image: Path, kind: FirmwareKind, entry: int) -> str:
    """The release of the kernel that an entry of GRUB's menu starts; of the first, when nobody touches the menu."""
    with run_guest(image, Machine(kind=kind), SystemClock()) as guest:
        console = guest.console
        console.expect("automatically", SECONDS)
        for _ in range(entry):
            console.send("\x0e")  # Ctrl-n, in one byte: an arrow's three are torn apart under load
            time.sleep(0.5)
        if entry:
            console.send("\r")
        console.expect(r"debian12 login: $", SECONDS)
        console.send("admin\n")
        console.expect(r"Password: $", 60)
        console.send("change-me-first\n")
        console.expect(r"\$ $", 60)
        console.send("uname -r; echo over\n")
        words = console.expect(r"(?s).*\nover\r?\n.*\$ $", 120).split()
        return next(word for word in words if word.endswith("-amd64"))


@pytest.mark.matrix
@pytest.mark.timeout(SECONDS + 900)
@pytest.mark.parametrize(("uki", "folder"), [(True, "EFI/Linux"), (False, "loader/entries")])
@pytest.mark.parametrize("dist", ["debian12", "debian13"])
def test_booted_system_confirms_the_entry_that_was_counted(build: Build, dist: str, uki: bool, folder: str) -> None:
    """Of two kernels the one that booted loses its counter, and the other keeps it."""
    text = (
        f'image: {{name: {dist}-counted, version: "1.0"}}\n'
        f"target: {{os: debian, dist: {dist}, arch: x86_64, imageType: raw}}\n"
        f"systemConfig:\n  name: counted\n  hostname: {dist}\n  immutability: {{enabled: false}}\n"
        f"  packages: [linux-image-cloud-amd64, systemd-boot, sudo]\n  kernel: {{uki: {str(uki).lower()}}}\n{COUNTED}"
    )
    with run_guest(build(dist, text), Machine(), SystemClock()) as guest:
        console = guest.console
        console.expect(rf"{dist} login: $", SECONDS)
        console.send("admin\n")
        console.expect(r"Password: $", 60)
        console.send("change-me-first\n")
        console.expect(r"\$ $", 60)
        console.send("until systemctl is-active -q boot-complete.target systemd-bless-boot.service; do sleep 1; done\n")
        console.expect(r"\$ $", SECONDS)
        console.send(f"uname -r; echo change-me-first | sudo -S -p '' ls -1 /boot/efi/{folder}; echo over\n")
        answer = console.expect(r"(?s).*\nover\r?\n.*\$ $", 120)
    words = answer.split()
    entries = [word for word in words if word.startswith(f"{dist}-counted-")]
    running = next(word for word in words if word.endswith("-amd64"))
    assert len(entries) == 2, answer
    assert [entry for entry in entries if "+3" not in entry] == [f"{dist}-counted-{running}.{'efi' if uki else 'conf'}"]

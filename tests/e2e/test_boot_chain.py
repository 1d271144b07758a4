"""Each way to start an image is built and booted: boot loaders, firmware, and how kernels are kept.

Azure Linux is made from a look-alike of its repository: nothing here says anything about the vendor's own packages.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

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
            "azure-linux": ("grub2", "grub2-efi", "grub2-efi-binary"),
        },
    ),
    "grub-efi-uki": Chain(
        "  bootloader: {provider: grub}\n  kernel: {uki: true}\n",
        {
            "debian": ("grub-common", "grub-efi-amd64-bin"),
            "azure-linux": ("grub2", "grub2-efi", "grub2-efi-binary"),
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
        f"{chain.disk}systemConfig:\n  name: chain\n  hostname: {dist}\n{named}{chain.system}{more}"
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


def check(workshop: Workshop, image: Path, dist: str) -> None:
    """It boots; what says so is the system itself where its systemd takes units from outside, else its console."""
    done = workshop.run("boot", "--check", "--json", "--timeout", str(SECONDS), str(image))
    assert done.stdout, done.stderr
    verdict = json.loads(done.stdout)
    level = "self-report" if dist == "debian13" else "console"
    assert (verdict["level"], verdict["passed"], verdict["failedUnits"]) == (level, True, []), done.stdout


@pytest.mark.timeout(SECONDS + 900)
@pytest.mark.parametrize(("dist", "chain"), combinations())
def test_image_boots_without_a_failed_unit(workshop: Workshop, build: Build, dist: str, chain: str) -> None:
    check(workshop, build(dist, template(dist, CHAINS[chain])), dist)


def test_samples_ask_for_what_is_booted_here() -> None:
    """The samples differ from the templates above in what has no part in starting."""
    for name in ("azl3-x86_64-grub-bios-raw", "debian12-x86_64-grub-efi-raw"):
        text = (CHECKOUT / "image-templates" / f"{name}.yml").read_text()
        dist, _, chain = name.removesuffix("-raw").partition("-x86_64-")
        assert all(package in text for package in CHAINS[chain].packages[TARGETS[dist]])

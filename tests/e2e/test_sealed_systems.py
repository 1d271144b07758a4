"""A sealed root on other distributions, behind other boot loaders, in other filesystems and with a policy: built and
booted, and what the system itself says of its root.

Azure Linux is made from a look-alike of its repository: nothing here says anything about the vendor's own packages.
"""

from __future__ import annotations

import re
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import pytest

from os_image_composer.boot.machine import Machine
from os_image_composer.boot.qemu import Guest, run_guest
from os_image_composer.boot.report import Answer, Probe
from os_image_composer.build.canonical import sha256_file
from os_image_composer.build.clock import SystemClock
from support.own_report import UNIT, hear, report_script
from support.sealed import Sealed, sealed_disk
from support.workshop import Workshop

pytestmark = [pytest.mark.build, pytest.mark.boot, pytest.mark.matrix]

# Under TCG, on two busy cores; a quiet machine takes a quarter.
SECONDS = 900

KEPT = "/etc/kept /var/kept /home/kept /root/kept /srv/kept"
PROBES = (
    Probe("state", "systemctl is-system-running --wait"),
    Probe("failed", "systemctl list-units --failed --plain --no-legend --no-pager"),
    Probe("root", "findmnt --noheadings --output SOURCE,FSTYPE,OPTIONS /"),
    Probe("table", "dmsetup table root"),
    Probe("verity", "dmsetup status root"),
    Probe("mounts", "findmnt --noheadings --list --output TARGET,FSTYPE"),
    Probe("usr", "touch /usr/made"),
    Probe("mode", "getenforce; sed -n 's/^SELINUXTYPE=//p' /etc/selinux/config"),
    Probe("relabel", "restorecon -F -n -v -R -x / /etc /var /home /root /srv 2>&1"),
    Probe("unlabelled", "find / /var /home /root /srv /etc -xdev -context '*unlabeled*'"),
    Probe("processes", "ps -eo label,comm --no-headers"),
    # Behind the labels: what root makes in a home is not what the policy would have there.
    Probe("write", "touch /etc/made /var/made /home/made /root/made"),
    Probe("denials", "journalctl --boot --output cat --no-pager | grep -F 'avc: '"),
    Probe("var", "ls /var/lib"),
    Probe("kept", f"cat {KEPT}; for file in {KEPT}; do echo kept >$file; done; sync"),
)


@dataclass(frozen=True)
class System:
    os: str
    dist: str
    packages: tuple[str, ...]
    system: str = ""
    kind: str = "ext4"


DEBIAN12 = ("dmsetup", "fdisk", "openssh-server")
GRUB = ("grub-common", "grub-efi-amd64-bin")
SYSTEMS = {
    "debian13-erofs": System("debian", "debian13", ("openssh-server",), kind="erofs"),
    "debian13-squashfs": System(
        "debian",
        "debian13",
        ("openssh-server", "acl"),
        "  configurations:\n    - cmd: setfacl -b /var/log/journal\n",
        "squashfs",
    ),
    "debian13-grub": System("debian", "debian13", GRUB, "  bootloader: {provider: grub}\n  kernel: {uki: true}\n"),
    "debian12": System("debian", "debian12", DEBIAN12),
    "debian12-grub": System(
        "debian", "debian12", (*DEBIAN12, *GRUB), "  bootloader: {provider: grub}\n  kernel: {uki: true}\n"
    ),
    "azl3": System("azure-linux", "azl3", ("e2fsprogs",)),
    "azl3-grub": System(
        "azure-linux",
        "azl3",
        ("e2fsprogs", "grub2", "grub2-efi", "grub2-efi-unsigned"),
        "  bootloader: {provider: grub}\n  kernel: {uki: true}\n",
    ),
}
POLICIES = {
    "debian12": System(
        "debian",
        "debian12",
        (*DEBIAN12, "selinux-policy-default", "policycoreutils", "selinux-utils"),
        "  selinux: enforcing\n",
    ),
}


def template(folder: Path, name: str, system: System) -> Path:
    (folder / "report.sh").write_text(report_script(PROBES))
    (folder / "report.service").write_text(UNIT.format(program="/usr/local/sbin/report"))
    file = folder / f"{name}.yml"
    file.write_text(f"""\
image: {{name: {name}, version: "1.0"}}
target: {{os: {system.os}, dist: {system.dist}, arch: x86_64, imageType: raw}}
{sealed_disk(system.kind)}systemConfig:
  name: sealed
  immutability: {{enabled: true}}
  packages: [{", ".join(system.packages)}]
{system.system}  services: {{enable: [report]}}
  additionalFiles:
    - {{local: report.sh, final: /usr/local/sbin/report, mode: '0755'}}
    - {{local: report.service, final: /etc/systemd/system/report.service}}
""")
    return file


def answers_of(workshop: Workshop, settings: Path, folder: Path, name: str, system: System) -> dict[str, Answer]:
    image = built(workshop, settings, folder, name, system)
    answers = hear(image, SECONDS)
    image.unlink()
    is_sealed(answers, system)
    return answers


def built(workshop: Workshop, settings: Path, folder: Path, name: str, system: System) -> Path:
    done = workshop.run(
        "--config",
        str(settings),
        "build",
        "--output",
        str(folder / "out"),
        str(template(folder, name, system)),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (image,) = (folder / "out").rglob("*.raw")
    return image


def is_sealed(answers: dict[str, Answer], system: System) -> None:
    assert (answers["state"].output, answers["failed"].output) == ("running", "")
    assert re.match(rf"/dev/mapper/root\s+{system.kind}\s+ro", answers["root"].output)
    assert re.match(r"\d+ \d+ verity 1 .* panic_on_corruption", answers["table"].output)
    assert answers["verity"].output.split()[-1].startswith("V")  # valid: no block was found to be another
    assert {"/etc overlay", "/var ext4", "/home ext4", "/root ext4", "/srv ext4"} <= {
        " ".join(line.split()) for line in answers["mounts"].output.splitlines()
    }
    assert answers["usr"].status != 0
    assert answers["write"].status == 0, answers["write"].output


@pytest.mark.timeout(SECONDS + 900)
@pytest.mark.parametrize("name", SYSTEMS)
def test_sealed_system_starts_without_a_failed_unit(
    workshop: Workshop, rpm_settings: Path, tmp_path: Path, name: str
) -> None:
    answers_of(workshop, rpm_settings, tmp_path, name, SYSTEMS[name])


def keeping(image: Path) -> AbstractContextManager[Guest]:
    return run_guest(image, Machine(keeps_changes=True), SystemClock())


@pytest.mark.timeout(2 * SECONDS + 900)
@pytest.mark.parametrize("name", ["azl3", "debian12"])
def test_changes_stay_and_the_root_does_not_change(
    workshop: Workshop, rpm_settings: Path, tmp_path: Path, name: str
) -> None:
    """The default of Debian 13, whose systemd takes questions, has its own test in test_immutable_boot.py."""
    disk = Sealed.of(built(workshop, rpm_settings, tmp_path, name, SYSTEMS[name]))
    before = sha256_file(disk.cut("root", tmp_path / "before"))
    for number in range(2):
        answers = hear(disk.image, SECONDS, keeping)
        is_sealed(answers, SYSTEMS[name])
        assert {"systemd", "dbus"} & set(answers["var"].output.split())  # what packages put there
        assert answers["kept"].output.splitlines().count("kept") == 5 * number, answers["kept"].output
    assert sha256_file(disk.cut("root", tmp_path / "after")) == before


@pytest.mark.timeout(SECONDS + 900)
@pytest.mark.parametrize("name", POLICIES)
def test_sealed_system_keeps_to_its_policy_from_its_first_start(
    workshop: Workshop, rpm_settings: Path, tmp_path: Path, name: str
) -> None:
    """What the initrd copied to the data partition has the labels of the root, and so has what lies over /etc."""
    answers = answers_of(workshop, rpm_settings, tmp_path, f"{name}-selinux", POLICIES[name])
    assert answers["mode"].output.split()[0] == "Enforcing"
    assert answers["unlabelled"].output == ""
    assert answers["relabel"].output == ""
    processes = {tuple(line.split()) for line in answers["processes"].output.splitlines()}
    assert {("system_u:system_r:init_t:s0", "systemd"), ("system_u:system_r:sshd_t:s0", "sshd")} <= processes

"""Own keys for secure boot across distributions, kinds of kernel files and kinds of root: each is built, booted with
nothing but these keys in the firmware, and asked what it knows of that. Debian 13 with a sealed root, which is its
default, is in test_secure_boot.py.

Azure Linux is made from a look-alike of its repository: nothing here says anything about the vendor's own packages.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from os_image_composer.boot.machine import Machine, SecureBoot
from os_image_composer.boot.report import Probe
from os_image_composer.boot.trial import boot_image
from os_image_composer.boot.verdict import BootVerdict, Level, failed_on_console
from os_image_composer.build.clock import SystemClock
from support.boot_keys import KeyFolder
from support.own_report import EARLY_UNIT, OTHERS_DONE, asking_script
from support.sealed import sealed_disk
from support.signed_image import SignedImage
from support.small_images import made
from support.workshop import Workshop

pytestmark = [pytest.mark.build, pytest.mark.boot]

# Under TCG, on two busy cores; a quiet machine takes a quarter.
SECONDS = 900

# They leave out the word that ends a report, so where the console is all that the boot sees, its verdict is the
# console's: by the words of a login prompt and of failed units.
PROBES = (
    Probe("firmware", "od -An -t u1 /sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"),
    Probe("lockdown", "cat /sys/kernel/security/lockdown"),
    Probe("root", "findmnt --noheadings --output SOURCE,FSTYPE,OPTIONS /"),
    Probe("kernel-line", "cat /proc/cmdline"),
    Probe("table", "dmsetup table root"),
    Probe("others", OTHERS_DONE.format(unit="ask.service")),
    Probe("broken", "systemctl list-units --failed --plain --no-legend --no-pager"),
)
OS = {"debian12": "debian", "debian13": "debian", "azl3": "azure-linux"}
# What a sealed root needs beside the OS default template's packages.
SEALED_NEEDS = {"debian12": "dmsetup, fdisk", "debian13": "", "azl3": "e2fsprogs"}


@dataclass(frozen=True)
class Case:
    dist: str
    uki: bool
    sealed: bool = False

    def __str__(self) -> str:
        return f"{self.dist}-{'uki' if self.uki else 'entries'}{'-sealed' if self.sealed else ''}"


CASES = [
    Case(dist, uki, sealed)
    for dist in OS
    for uki, sealed in ((True, False), (False, False), (True, True))
    if (dist, sealed) != ("debian13", True)
]
#: With what else every run boots, each distribution, each way to keep kernels and each kind of root has own keys once.
ALWAYS = (Case("debian12", uki=False), Case("azl3", uki=True, sealed=True))


def template(folder: Path, case: Case, keys: KeyFolder) -> Path:
    """Debian 13's systemd takes the questions from outside; others get a unit that asks them."""
    own = case.dist != "debian13"
    (folder / "ask.sh").write_text(asking_script(PROBES))
    (folder / "ask.service").write_text(EARLY_UNIT.format(program="/usr/local/sbin/ask"))
    asked = """\
  services: {enable: [ask]}
  additionalFiles:
    - {local: ask.sh, final: /usr/local/sbin/ask, mode: '0755'}
    - {local: ask.service, final: /etc/systemd/system/ask.service}
"""
    file = folder / "template.yml"
    file.write_text(f"""\
image: {{name: {case}, version: "1.0"}}
target: {{os: {OS[case.dist]}, dist: {case.dist}, arch: x86_64, imageType: raw}}
{sealed_disk() if case.sealed else ""}systemConfig:
  name: keys
  hostname: {case.dist}
  secureBoot: {keys.template()}
  immutability: {{enabled: {str(case.sealed).lower()}}}
  kernel: {{uki: {str(case.uki).lower()}}}
  packages: [{SEALED_NEEDS[case.dist] if case.sealed else ""}]
{asked if own else ""}""")
    return file


def build(workshop: Workshop, settings: Path, folder: Path, case: Case, keys: KeyFolder) -> SignedImage:
    words = ("--config", str(settings), "build", "--output", str(folder / "out"))
    done = workshop.run(*words, str(template(folder, case, keys)))
    assert done.returncode == 0, done.stdout + done.stderr
    (image,) = (folder / "out").rglob("*.raw")
    return SignedImage(image, keys)


def boot(image: Path, enrolment: Path) -> BootVerdict:
    """What `boot --check --secure-boot` sees, and what the system answers."""
    probes = tuple(p for p in PROBES if p.name not in ("others", "broken"))  # the boot's own report asks these
    machine = Machine(secure_boot=SecureBoot(enrolment))
    return boot_image(image, SystemClock(), machine=machine, limit=SECONDS, probes=probes)


def kernel_file(image: SignedImage) -> str:
    """The kernel that the only entry names, as a path of the EFI system partition."""
    area = f"{image.image}@@{1 << 20}"
    (entry,) = re.findall(rb"::(/loader/entries/\S+)", made("mdir", "-/", "-b", "-i", area, "::/loader").stdout)
    (kernel,) = re.findall(r"^linux /(\S+)$", image.program(entry.decode().lstrip("/")).decode(), re.MULTILINE)
    return str(kernel)


@pytest.mark.timeout(3 * SECONDS + 900)
@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=() if case in ALWAYS else pytest.mark.matrix, id=str(case)) for case in CASES]
)
def test_image_with_own_keys_boots_and_says_so_itself(
    workshop: Workshop, rpm_settings: Path, keys: KeyFolder, tmp_path: Path, case: Case
) -> None:
    signed = build(workshop, rpm_settings, tmp_path, case, keys)
    verdict = boot(signed.image, signed.enrolment)
    assert verdict.passed, (verdict.reason, verdict.lines[-40:])
    assert verdict.level is (Level.SELF_REPORT if case.dist == "debian13" else Level.CONSOLE)
    assert verdict.secure_boot is True
    assert (verdict.failed_units, failed_on_console(verdict.lines)) == ((), ())
    if verdict.level is Level.CONSOLE:
        assert (verdict.answer("others").status, verdict.answer("broken").output) == (0, "")
    # Four bytes of attributes, then the value: UEFI specification, 3.3.
    assert verdict.answer("firmware").output.split() == ["6", "0", "0", "0", "1"]
    assert "[integrity]" in verdict.answer("lockdown").output
    root = verdict.answer("root").output
    if case.sealed:
        assert re.match(r"/dev/mapper/root\s+ext4\s+ro", root), root
        assert re.match(r"\d+ \d+ verity 1 ", verdict.answer("table").output)
        assert "roothash=" in verdict.answer("kernel-line").output
    else:
        assert re.match(r"/dev/vda2\s+ext4\s+rw", root), root
        assert "roothash=" not in verdict.answer("kernel-line").output
    if not case.uki:
        name = kernel_file(signed)
        changed = signed.with_program(tmp_path, name, signed.changed(name, ".text"))
        verdict = boot(changed, signed.enrolment)
        told = "\n".join(verdict.lines)
        assert not verdict.passed
        assert "access denied" in told.lower(), told
        assert "Linux version" not in told

"""Images under secure boot: what was signed boots and knows it, and each attack is refused.

A refusal never ends QEMU: the firmware waits at its menu. So the words on the console count, and the watching ends with
them.
"""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from os_image_composer.boot.firmware import SECURE, Firmware, find_firmware
from os_image_composer.boot.machine import Machine, SecureBoot
from os_image_composer.boot.qemu import find_program, qemu_argv
from os_image_composer.boot.report import Probe
from os_image_composer.boot.trial import boot_image
from os_image_composer.boot.verdict import BootVerdict, failed_on_console
from os_image_composer.build.clock import SystemClock
from os_image_composer.signing.authenticode import signed_program
from support.boot_keys import KeyFolder
from support.signed_image import LOADER, UKI, SignedImage, build_signed, unsigned
from support.workshop import Workshop

pytestmark = [pytest.mark.build, pytest.mark.boot]

SECONDS = 600  # under TCG, on two busy cores
PROBES = (
    Probe(
        "root", "findmnt --noheadings --output SOURCE,OPTIONS /; dmsetup table root | cut -d ' ' -f 3; touch /usr/made"
    ),
    Probe("lockdown", "cat /sys/kernel/security/lockdown"),
    Probe("db", "cat /sys/firmware/efi/efivars/db-d719b2cb-3d3a-4596-a3bc-dad00e67656f | tail -c +5 | sha256sum"),
)


@pytest.fixture(scope="module")
def signed(built: Workshop, keys: KeyFolder, tmp_path_factory: pytest.TempPathFactory) -> SignedImage:
    return build_signed(built, tmp_path_factory.mktemp("signed"), keys)


def boot(image: Path, enrolment: Path | None, firmware: Firmware | None = None) -> BootVerdict:
    secure = SecureBoot(enrolment) if enrolment else None
    machine = Machine(secure_boot=secure, firmware=firmware)
    return boot_image(image, SystemClock(), machine=machine, limit=SECONDS, probes=PROBES)


def enrol(image: Path, firmware: Firmware) -> str:
    """What the console says until the machine resets itself; the firmware's variables stay as they are then."""
    argv = qemu_argv(find_program(), image, Machine(), firmware, firmware.variables)
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS)
    return done.stdout.decode("utf-8", "replace")


def refused(verdict: BootVerdict) -> bool:
    """Somebody said that access is denied, and no kernel started."""
    told = "\n".join(verdict.lines)
    return not verdict.passed and "access denied" in told.lower() and "Linux version" not in told


@pytest.mark.timeout(SECONDS + 120)
def test_signed_image_boots_and_reports_secure_boot_and_lockdown(signed: SignedImage) -> None:
    verdict = boot(signed.image, signed.enrolment)
    assert verdict.passed, verdict.reason
    assert verdict.secure_boot is True
    assert failed_on_console(verdict.lines) == ()  # nor when it is switched off
    root = verdict.answer("root")
    assert re.match(r"/dev/mapper/root ro\S*\nverity\n.*Read-only file system", root.output), root.output
    assert "[integrity]" in verdict.answer("lockdown").output
    enrolled = hashlib.sha256((signed.enrolment / "db.esl").read_bytes()).hexdigest()
    assert verdict.answer("db").output.split()[0] == enrolled, verdict.answer("db").output


ATTACKS = ("byte of the initrd", "command line", "unsigned UKI", "UKI of another key", "boot loader", "unsigned loader")


@pytest.mark.timeout(SECONDS + 120)
@pytest.mark.parametrize("attack", ATTACKS)
def test_attack_is_refused_before_a_kernel_starts(signed: SignedImage, tmp_path: Path, attack: str) -> None:
    uki, loader = signed.program(UKI), signed.program(LOADER)
    name, program = {
        "byte of the initrd": (UKI, signed.changed(UKI, ".initrd")),
        "command line": (UKI, signed.changed(UKI, ".cmdline", b" ro ", b" rw ")),
        "unsigned UKI": (UKI, unsigned(uki, tmp_path)),
        "UKI of another key": (UKI, signed_program(unsigned(uki, tmp_path), signed.keys.signer("KEK"), "uki")),
        "boot loader": (LOADER, signed.changed(LOADER, ".text")),
        "unsigned loader": (LOADER, unsigned(loader, tmp_path)),
    }[attack]
    assert program != signed.program(name)
    image = signed.with_program(tmp_path, name, program)
    verdict = boot(image, signed.enrolment)
    assert refused(verdict), verdict.lines[-20:]


@pytest.mark.timeout(SECONDS + 120)
def test_machine_with_other_keys_does_not_start_the_image(signed: SignedImage, tmp_path: Path) -> None:
    others = tmp_path / "others"
    shutil.copytree(signed.enrolment, others)
    for suffix in ("auth", "esl", "der"):
        shutil.copyfile(signed.enrolment / f"KEK.{suffix}", others / f"db.{suffix}")
    assert refused(boot(signed.image, others))


DB = "/sys/firmware/efi/efivars/db-d719b2cb-3d3a-4596-a3bc-dad00e67656f"


def updating(name: str, update: Path) -> tuple[Probe, ...]:
    """Write a signed update of db, as docs/secure-boot.md has it with another program, and read what is there then. Its
    attributes are those of a variable that is kept, seen at boot and later, and dated (UEFI specification §8.2)."""
    text = base64.b64encode(update.read_bytes()).decode()
    file = f"/tmp/{name}"
    write = (
        f"chattr -i {DB}; (printf '\\047\\000\\000\\000'; echo {text} | base64 -d) >{file}; "
        f"dd if={file} of={DB} bs=1M conv=notrunc"
    )
    return Probe(name, write), Probe(f"{name}-db", f"cat {DB} | tail -c +5 | sha256sum")


@pytest.mark.matrix
@pytest.mark.timeout(SECONDS + 240)
def test_running_machine_takes_the_next_key_dated_later_and_no_other(
    built: Workshop, keys: KeyFolder, signed: SignedImage, tmp_path: Path
) -> None:
    """Rotation as docs/secure-boot.md has it: the certificate beside the one in use; of the same date it is refused."""
    more = {"same": {}, "later": {"dated": '"2099-01-01"'}}
    probes: tuple[Probe, ...] = ()
    lists: dict[str, bytes] = {}
    for name, words in more.items():
        (tmp_path / name).mkdir()
        image = build_signed(built, tmp_path / name, keys, trusted=f"[{keys.file('image.pem')}]", **words)
        probes += updating(name, image.enrolment / "db.auth")
        lists[name] = (image.enrolment / "db.esl").read_bytes()
        image.image.unlink()
    assert lists["same"] == lists["later"] != (signed.enrolment / "db.esl").read_bytes()
    machine = Machine(secure_boot=SecureBoot(signed.enrolment))
    verdict = boot_image(signed.image, SystemClock(), machine=machine, limit=SECONDS, probes=probes)
    assert verdict.passed, verdict.reason
    assert verdict.secure_boot is True
    old = hashlib.sha256((signed.enrolment / "db.esl").read_bytes()).hexdigest()
    new = hashlib.sha256(lists["later"]).hexdigest()
    told = "\n".join(answer.output for answer in verdict.answers if answer.name.startswith(("same", "later")))
    assert verdict.answer("same").status != 0, told
    assert verdict.answer("same-db").output.split()[0] == old, told
    assert verdict.answer("later").status == 0, told
    assert verdict.answer("later-db").output.split()[0] == new, told


@pytest.mark.matrix
@pytest.mark.timeout(2 * SECONDS + 240)
def test_systemd_boot_enrols_the_keys_by_itself_and_then_starts_the_image(
    built: Workshop, keys: KeyFolder, tmp_path: Path
) -> None:
    image = build_signed(built, tmp_path, keys, enroll="if-safe")
    usual = find_firmware(SECURE)
    variables = tmp_path / "variables.fd"
    shutil.copyfile(usual.variables, variables)
    said = enrol(image.image, Firmware(usual.code, variables))
    assert "enroll" in said.lower(), said[-2000:]
    verdict = boot(image.image, None, Firmware(usual.code, variables))
    assert verdict.passed, verdict.reason
    assert verdict.secure_boot is True

"""Which change makes which steps of an initrd image and of a live ISO run again. Those of a disk, and what they have in
common with these, are in test_honest_ids.py."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from os_image_composer.build.plan import Plan
from os_image_composer.config.spec import Target
from os_image_composer.errors import TemplateError
from support.boot_keys import KeyFolder
from support.deb_repository import NOW, deb
from support.planning import planned
from support.small_archive import SmallArchive
from support.small_data import SmallData

COMMON = "osv/debian/common.yml"
TEMPLATE = """\
image: {name: small, version: "1.0"}
target: {os: debian, dist: debian13, arch: x86_64, imageType: KIND}
systemConfig:
  name: small
  hostname: one
  kernel: {cmdline: console=ttyS0}
"""
LIVE = "  live: {title: one}\n  bootloader: {provider: grub, timeout: 3}\n"
BOOT_EFI = "  packages: [systemd-boot-efi, systemd-cryptsetup, dmsetup]\n"
KEYS = "  secureBoot: {key: keys/db.key, certificate: keys/db.pem}\n"
SIGNED = BOOT_EFI + KEYS
SEALED = "  immutability: {enabled: true}\n"


@dataclass(frozen=True)
class Change:
    """`old` becomes `new` in the template, or in `file` of the distributions' data; `steps` then have other work.
    `more` is in the template before and after."""

    kind: str
    steps: str
    old: str
    new: str
    file: str | None = None
    more: str = ""


ROWS = {
    "live: title": Change("iso", "boot", "title: one", "title: two"),
    "live: title left out": Change("iso", "boot", "  live: {title: one}\n", ""),
    "live: timeout": Change("iso", "boot", "timeout: 3", "timeout: 4"),
    "live: other name of the loader": Change("iso", "", "provider: grub", "provider: grub2"),
    "live: command line": Change("iso", "boot", "console=ttyS0", "console=tty0"),
    # The medium's label and mark; a version is in the bill of materials, too.
    "live: carried file": Change("iso", "iso", "title: one", "title: one, carry: [{local: template.yml, name: a}]"),
    "live: version": Change("iso", "boot iso sbom", '"1.0"', '"1.1"'),
    "live: host name": Change("iso", "os-configuration", "hostname: one", "hostname: two"),
    "live.argv": Change("iso", "initrd", "argv: [--add, image-live]", "argv: [--add, image-live, --verbose]", COMMON),
    "live.into": Change("iso", "initrd", "90image-live", "91image-live", COMMON),
    "live.files": Change("iso", "initrd", "set -eu", "set -eux", "osv/live/dracut/live-root.sh"),
    "squashfs": Change("iso", "root-filesystem", "squashfs: zstd", "squashfs: xz", COMMON),
    "live: boot.grub": Change("iso", "boot", "format: i386-pc", "format: i386-qemu", COMMON),
    "live: keys": Change("iso", "initrd boot enrolment sign-boot iso", "  live:", KEYS + "  live:", more=BOOT_EFI),
    "signed: sealed": Change("iso", "initrd boot iso verity", "  live:", SEALED + "  live:", more=SIGNED),
    "signed: title": Change("iso", "boot", "title: one", "title: two", more=SIGNED),
    "signed: timeout": Change("iso", "boot", "timeout: 3", "timeout: 4", more=SIGNED),
    "signed: command line": Change("iso", "boot", "console=ttyS0", "console=tty0", more=SIGNED),
    "signed: enrolled by systemd-boot": Change(
        "iso", "sign-boot", "certificate: keys/db.pem}", "certificate: keys/db.pem, enroll: force}", more=SIGNED
    ),
    "signed: boot.stub": Change("iso", "boot", "linuxx64.efi.stub", "addonx64.efi.stub", COMMON, SIGNED),
    "signed: boot.loader": Change("iso", "boot", "systemd-bootx64.efi", "otherx64.efi", COMMON, SIGNED),
    "signed: boot.grub of a BIOS": Change("iso", "boot", "format: i386-pc", "format: i386-qemu", COMMON, SIGNED),
    "signed: boot.grub of UEFI": Change("iso", "", "format: x86_64-efi", "format: other-efi", COMMON, SIGNED),
    "signed: what a sealed root needs": Change("iso", "", "cmdline: rd.shell=0", "cmdline: rd.shell=1", COMMON, SIGNED),
    "sealed: what a sealed root needs": Change(
        "iso", "boot", "cmdline: rd.shell=0", "cmdline: rd.shell=1", COMMON, SIGNED + SEALED
    ),
    "live.signed.argv": Change("iso", "initrd", "--add, image-live-choice", "-a, image-live-choice", COMMON, SIGNED),
    "live.signed.into": Change("iso", "initrd", "91image-live-choice", "92image-live-choice", COMMON, SIGNED),
    "live.signed.files": Change("iso", "initrd", "set -eu", "set -eux", "osv/live/signed/live-choice.sh", SIGNED),
    "live.signed without keys": Change("iso", "", "set -eu", "set -eux", "osv/live/signed/live-choice.sh"),
    "initrd: command line": Change("img", "qemu-example ipxe-example", "console=ttyS0", "console=tty0"),
    # Names of files are in the examples.
    "initrd: version": Change("img", "qemu-example ipxe-example sbom", '"1.0"', '"1.1"'),
    "initrd: host name": Change("img", "os-configuration", "hostname: one", "hostname: two"),
    "initrd: boot.kernel": Change("img", "kernel", "boot/vmlinuz-*", "usr/lib/vmlinuz-*", COMMON),
    "initrd: boot.modules": Change("img", "kernel", "modules: usr/lib/modules", "modules: lib/modules", COMMON),
    "initrd: what makes disks' initrds": Change("img", "", "zstd -3 -q -T0", "zstd -4 -q -T0", COMMON),
}


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> dict[str, SmallArchive]:
    found = {}
    for kind in ("img", "iso"):
        root = tmp_path_factory.mktemp(kind)
        data = SmallData("deb", root, NOW, Target("debian", "debian13", "x86_64", kind))
        data.write(*(deb(name) for name in ("systemd-boot-efi", "systemd-cryptsetup", "dmsetup")))
        archive = SmallArchive(data)
        archive.settings.write_text(
            f"config_dir: {data.data}\ncache_dir: {archive.cache}\nwork_dir: {root}/work\n"
            + data.mirrors(f"file://{data.root}")
        )
        found[kind] = archive
    return found


def plan(archive: SmallArchive, folder: Path, text: str, data: Path | None = None) -> Plan:
    folder.mkdir(exist_ok=True)
    file = folder / "template.yml"
    file.write_text(text)
    return planned(archive, file, data)


def edited(text: str, change: Change) -> str:
    assert text.count(change.old) == 1, f"{change.old!r} is there {text.count(change.old)} times"
    return text.replace(change.old, change.new)


@pytest.mark.parametrize("name", ROWS)
def test_a_change_runs_its_steps_and_no_others(
    name: str, archives: dict[str, SmallArchive], keys: KeyFolder, tmp_path: Path
) -> None:
    change = ROWS[name]
    for folder in ("before", "after"):
        shutil.copytree(keys.path, tmp_path / folder / "keys")
    archive, data = archives[change.kind], None
    text = TEMPLATE.replace("KIND", change.kind) + (LIVE + change.more if change.kind == "iso" else "")
    before = plan(archive, tmp_path / "before", text)
    if change.file:
        data = tmp_path / "data"
        shutil.copytree(archive.data.data, data)
        (data / change.file).write_text(edited((data / change.file).read_text(), change))
    else:
        text = edited(text, change)
    after = plan(archive, tmp_path / "after", text, data)
    old = {s.name: s.step for s in before}
    other = {
        s.name
        for s in after
        if s.name not in old
        or (s.step.action.kind, s.step.options(), s.step.inputs)
        != (old[s.name].action.kind, old[s.name].options(), old[s.name].inputs)
    }
    assert other == set(change.steps.split())


def test_a_signed_iso_without_the_boot_loaders_package_is_refused_before_anything_is_built(
    archives: dict[str, SmallArchive], keys: KeyFolder, tmp_path: Path
) -> None:
    shutil.copytree(keys.path, tmp_path / "iso" / "keys")
    with pytest.raises(TemplateError) as caught:
        plan(archives["iso"], tmp_path / "iso", TEMPLATE.replace("KIND", "iso") + KEYS)
    error = caught.value
    assert (error.reference, error.hint) == ("no-boot-files", "add systemd-boot-efi to systemConfig.packages")
    assert error.origin is not None
    assert error.origin.line == 7


def test_every_file_of_a_plan_is_a_goal(archives: dict[str, SmallArchive], tmp_path: Path) -> None:
    found = plan(archives["img"], tmp_path / "img", TEMPLATE.replace("KIND", "img"))
    assert found.goals == ("initrd-image", "kernel", "qemu-example", "ipxe-example")
    found = plan(archives["iso"], tmp_path / "iso", TEMPLATE.replace("KIND", "iso"))
    assert found.goals == ("iso",)

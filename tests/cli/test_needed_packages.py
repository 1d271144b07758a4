"""Packages that an image needs to boot: what is missing is told before anything is built, also by `validate`."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from os_image_composer.config.spec import Target
from support.boot_keys import KeyFolder
from support.deb_repository import DebRepository
from support.small_archive import SmallArchive, small_archive
from support.small_data import Described, name_of

Composer = Callable[..., subprocess.CompletedProcess[str]]
VERBS = (("validate", "--resolve"), ("plan",))
RAW = "osv/debian/debian13/imageconfigs/defaultconfigs/default-raw-x86_64.yml"
PLAIN = """\
disk:
  name: plain
  size: 4GiB
  partitions:
    - {id: esp, type: esp, fsType: fat32, start: 1MiB, end: 257MiB, mountPoint: /boot/efi}
    - {id: root, type: linux-root-amd64, fsType: ext4, start: 257MiB, end: "0", mountPoint: /}
"""
SEALED = "  immutability: {enabled: true}\n"


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> SmallArchive:
    """Its OS default template of a disk lacks two packages that a sealed root needs; one has another name."""
    made = small_archive(tmp_path_factory.mktemp("archive"), Described("table-setup", provides=("dmsetup",)))
    repository = made.data.repository
    assert isinstance(repository, DebRepository)
    repository.packages = [package for package in repository.packages if name_of(package) != "dmsetup"]
    repository.write()
    default = made.data.data / RAW
    text, times = re.subn(r"(?m)^    - (dmsetup|fdisk) .*\n", "", default.read_text())
    assert times == 2
    default.write_text(text)
    return made


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory, keys: KeyFolder) -> Callable[[str], tuple[SmallArchive, Path]]:
    """A template of a live ISO with keys, and what else its system has."""
    target = Target("debian", "debian13", "x86_64", "iso")
    archive = small_archive(tmp_path_factory.mktemp("iso"), target=target)

    def write(system: str) -> tuple[SmallArchive, Path]:
        path = archive.root / "cd.yml"
        path.write_text(
            'image: {name: cd, version: "1"}\ntarget: {os: debian, dist: debian13, arch: x86_64, imageType: iso}\n'
            f"systemConfig:\n  secureBoot: {keys.template()}\n" + system
        )
        return archive, path

    return write


Signed = Callable[[str], tuple[SmallArchive, Path]]


@pytest.mark.parametrize("verb", VERBS)
def test_sealed_disk_without_what_its_initrd_needs_is_refused(
    composer: Composer, archive: SmallArchive, verb: tuple[str, ...]
) -> None:
    template = archive.template(f"systemConfig:\n{SEALED}")
    done = composer("--config", archive.settings, *verb, template)
    assert done.returncode == 2
    said = "needs what the image does not have: "
    assert f"error[initrd-incomplete]: the initrd of a root that cannot be written to {said}" in done.stderr
    assert f"  --> {template}:4:27\n" in done.stderr
    assert "/usr/sbin/sfdisk is in fdisk; /usr/sbin/dmsetup is in dmsetup" in done.stderr
    assert "hint: add to systemConfig.packages: fdisk, dmsetup\n" in done.stderr


@pytest.mark.parametrize("verb", VERBS)
def test_package_that_is_asked_for_is_there_by_whatever_name_the_repository_has_it(
    composer: Composer, archive: SmallArchive, verb: tuple[str, ...]
) -> None:
    template = archive.template(f"systemConfig:\n  packages: [dmsetup, fdisk=1.0]\n{SEALED}")
    done = composer("--config", archive.settings, *verb, template)
    assert done.returncode == 0, done.stderr
    plan = json.loads(composer("--config", archive.settings, "plan", "--json", template).stdout)
    named = {p["name"] for step in plan["steps"] for p in step["options"].get("packages", ())}
    assert "table-setup" in named
    assert "dmsetup" not in named


def test_a_root_that_can_be_written_to_needs_none_of_them(composer: Composer, archive: SmallArchive) -> None:
    template = archive.template("systemConfig:\n  immutability: {enabled: false}\n" + PLAIN)
    done = composer("--config", archive.settings, "validate", "--resolve", template)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("verb", VERBS)
def test_signed_iso_without_the_package_of_its_boot_loader_is_refused(
    composer: Composer, signed: Signed, verb: tuple[str, ...]
) -> None:
    archive, template = signed("")
    done = composer("--config", archive.settings, *verb, template)
    assert done.returncode == 2
    assert "error[no-boot-files]: the image has no package systemd-boot-efi" in done.stderr
    assert f"  --> {template}:4:21\n" in done.stderr
    assert "hint: add systemd-boot-efi to systemConfig.packages\n" in done.stderr


@pytest.mark.parametrize("verb", VERBS)
def test_sealed_iso_without_what_its_initrd_needs_is_refused(
    composer: Composer, signed: Signed, verb: tuple[str, ...]
) -> None:
    archive, template = signed(f"  packages: [systemd-boot-efi]\n{SEALED}")
    done = composer("--config", archive.settings, *verb, template)
    assert done.returncode == 2
    assert "error[initrd-incomplete]: " in done.stderr
    assert f"  --> {template}:6:27\n" in done.stderr
    assert "hint: add to systemConfig.packages: systemd-cryptsetup, dmsetup\n" in done.stderr


@pytest.mark.parametrize("verb", VERBS)
def test_sealed_iso_with_all_that_it_needs_is_not_refused(
    composer: Composer, signed: Signed, verb: tuple[str, ...]
) -> None:
    archive, template = signed(f"  packages: [systemd-boot-efi, systemd-cryptsetup, dmsetup]\n{SEALED}")
    done = composer("--config", archive.settings, *verb, template)
    assert done.returncode == 0, done.stderr


def test_what_is_missing_is_a_finding_for_programs(composer: Composer, signed: Signed) -> None:
    archive, template = signed("")
    done = composer("--config", archive.settings, "validate", "--resolve", "--json", template)
    assert done.returncode == 2
    (report,) = json.loads(done.stdout)["templates"]
    assert [(f["reference"], f["line"], f["column"]) for f in report["findings"]] == [("no-boot-files", 4, 21)]


def test_where_the_data_do_not_know_the_packages_for_certain_the_build_looks_for_the_files(
    composer: Composer, tmp_path: Path
) -> None:
    """Whatever has it: no package of the image has the name that these data have for one of the files."""
    archive = small_archive(tmp_path, family="rpm", target=Target("edge-microvisor-toolkit", "emt3", "x86_64", "raw"))
    template = archive.template(f"systemConfig:\n{SEALED}")
    plan = composer("--config", archive.settings, "plan", "--json", template)
    assert plan.returncode == 0, plan.stderr
    steps = {step["name"]: step["options"] for step in json.loads(plan.stdout)["steps"]}
    initrd = steps["initrd"]
    assert "device-mapper" not in {p["name"] for options in steps.values() for p in options.get("packages", ())}
    assert "device-mapper" in {need["package"] for need in initrd["needs"]}

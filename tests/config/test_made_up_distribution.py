"""A distribution is added by YAML alone: one that does not exist, in a data folder of its own, read by the command."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from support.deb_repository import DebRepository, SigningKey, deb, served

CHECKOUT = Path(__file__).parents[2]

# What docs/add-a-distribution.md describes.
CONFIG = """\
extends: ../../debian/common.yml
releaseVersion: "1"
firstBoot: []
"""
REPOSITORIES = """\
repositories:
  - name: acme
    mirror: acme
    url: {url}
    suites: [road]
    components: [main]
    fingerprints: [{fingerprint}]
    keyrings: [{keyring}]
  - name: acme-fresh
    mirror: acme
    url: {url}
    enabled: false
    suites: [road-fresh]
    components: [main]
    fingerprints: [{fingerprint}]
    keyrings: [{keyring}]
"""
DEFAULT = """\
image: {name: acme-default, version: "1"}
target: {os: acme, dist: acme1, arch: x86_64, imageType: raw}
disk:
  name: acme
  size: 1GiB
  partitions:
    - {id: esp, type: esp, fsType: fat32, start: 1MiB, end: 257MiB, mountPoint: /boot/efi}
    - {id: root, type: linux-root-amd64, fsType: ext4, start: 257MiB, end: "0", mountPoint: /}
systemConfig:
  name: default
  bootloader: {bootType: efi, provider: systemd-boot}
  kernel: {cmdline: quiet, packages: [anvil-kernel]}
  packages: [anvil]
"""
TEMPLATE = """\
image: {name: mine, version: "1"}
target: {os: acme, dist: acme1, arch: x86_64, imageType: raw}
"""
FRESH = "packageRepositories: [{codename: road-fresh, priority: 500}]\n"


class Acme:
    """The data folder, the repository's two suites, and the command."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "config"
        key = SigningKey("ACME")
        self.key = key
        packages = {
            "road": [
                deb("anvil", "1.0"),
                deb("anvil-kernel"),
                deb("base", essential="yes"),
                deb("manager"),
                deb("hammer"),
            ],
            "road-fresh": [deb("anvil", "2.0")],
        }
        for suite, made in packages.items():
            release: dict[str, str | None] = {"NotAutomatic": "yes", "ButAutomaticUpgrades": "yes"}
            repository = DebRepository(
                folder / "mirror",
                suite=suite,
                date=time.time() - 60,
                key=key,
                release=release if suite == "road-fresh" else {},
            )
            repository.add(*made).write()
        self.keyring = repository.keyring

    def write(self, url: str) -> None:
        """The four files, the image tools' list, and the shared file that they extend."""
        own = self.data / "osv/acme/acme1"
        files = {
            self.data / "osv/image-tools.yml": "{os: acme, dist: acme1, packages: [hammer], formatPackages: []}\n",
            own / "config.yml": CONFIG,
            own / "providerconfigs/x86_64_repo.yml": REPOSITORIES.format(
                url=url, fingerprint=self.key.fingerprint.upper(), keyring=self.keyring
            ),
            own / "chrootenvconfigs/chrootenv_x86_64.yml": "packages: [manager]\n",
            own / "imageconfigs/defaultconfigs/default-raw-x86_64.yml": DEFAULT,
        }
        for path, text in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        (self.data / "osv/debian").mkdir()
        shutil.copy(CHECKOUT / "config/osv/debian/common.yml", self.data / "osv/debian/common.yml")
        shutil.copytree(CHECKOUT / "config/osv/live", self.data / "osv/live")
        shutil.copytree(CHECKOUT / "config/osv/initrd", self.data / "osv/initrd")
        (self.folder / "settings.yml").write_text(f"config_dir: {self.data}\ncache_dir: {self.folder}/cache\n")

    def run(self, verb: str, text: str) -> subprocess.CompletedProcess[str]:
        template = self.folder / "template.yml"
        template.write_text(text)
        argv = [sys.executable, "-m", "os_image_composer", "--config", str(self.folder / "settings.yml"), verb]
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "PYTHONPATH": str(CHECKOUT / "src")}
        return subprocess.run(
            [*argv, str(template)], env=environment, cwd=self.folder, capture_output=True, text=True, timeout=120
        )

    def locked(self) -> str:
        (lock,) = (self.folder / "cache/locks").glob("*.lock")
        text = lock.read_text()
        lock.unlink()
        return text


@pytest.fixture
def acme(tmp_path: Path) -> Acme:
    return Acme(tmp_path)


def test_a_made_up_distribution_is_validated_and_planned_from_its_yaml(acme: Acme) -> None:
    with served(acme.folder / "mirror") as server:
        acme.write(server.url)
        assert acme.run("validate", TEMPLATE).returncode == 0
        planned = acme.run("plan", TEMPLATE)
        assert planned.returncode == 0, planned.stderr
        assert "packages:default" in planned.stdout
        assert '"anvil"' in acme.locked()


def test_its_suite_that_is_off_counts_when_a_template_names_it(acme: Acme) -> None:
    with served(acme.folder / "mirror") as server:
        acme.write(server.url)
        versions = []
        for text in (TEMPLATE, TEMPLATE + FRESH.replace(", priority: 500", ""), TEMPLATE + FRESH):
            planned = acme.run("plan", text)
            assert planned.returncode == 0, planned.stderr
            versions.append("2.0" in acme.locked())
    assert versions == [False, False, True]


def test_its_mistakes_are_told_like_those_of_any_other(acme: Acme) -> None:
    acme.write("http://127.0.0.1:9")
    wrong = acme.run("validate", TEMPLATE.replace("acme1", "acme2"))
    assert wrong.returncode != 0
    assert "acme1" in wrong.stdout + wrong.stderr

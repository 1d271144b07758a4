"""A distribution that nobody has, of each package family, is added by YAML alone and built.

Its packages are those of a distribution that there is, under another name, with other partitions and another choice of
repositories: nothing in the program knows the name.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from os_image_composer.config.distribution import RepositoryData
from os_image_composer.config.distribution_data import default_template_path, load_distribution
from os_image_composer.config.load import load_image_spec
from os_image_composer.config.spec import Target
from os_image_composer.report.inspect import inspect_image
from support.lookalike.made import AZL3, Lookalikes
from support.workshop import CHECKOUT, Workshop

pytestmark = [pytest.mark.build, pytest.mark.matrix]

RELATIVES = {
    "deb": Target("debian", "debian13", "x86_64", "raw"),
    "rpm": Target("azure-linux", "azl3", "x86_64", "raw"),
}
DATA = CHECKOUT / "config"

DEFAULT = """\
image: {{name: acme-default, version: "1"}}
target: {{os: acme, dist: acme-{family}, arch: x86_64, imageType: raw}}
disk:
  name: acme
  size: 1792MiB
  partitions:
    - {{id: esp, name: acme-esp, type: esp, fsType: fat32, start: 1MiB, end: 129MiB, mountPoint: /boot/efi}}
    - {{id: root, name: acme-root, type: linux-root-amd64, fsType: ext4, start: 129MiB, end: "0", mountPoint: /}}
systemConfig:
  name: default
  hostname: anvil
  bootloader: {{bootType: efi, provider: systemd-boot}}
  kernel: {{cmdline: console=ttyS0, packages: {kernel}}}
  packages: {packages}
"""
TEMPLATE = """\
image: {{name: mine, version: "1"}}
target: {{os: acme, dist: acme-{family}, arch: x86_64, imageType: raw}}
systemConfig: {{name: mine, packages: [sudo]}}
"""


def described(repositories: Sequence[RepositoryData], over: Mapping[str, object]) -> str:
    """Repositories as YAML, under names of their own."""
    found = [
        {
            "name": f"acme-{number}",
            "mirror": repository.mirror,
            "url": repository.url,
            "suites": repository.suites,
            "components": repository.components,
            "fingerprints": repository.fingerprints,
            "keyrings": [str(path) for path in repository.keyrings],
            **over,
        }
        for number, repository in enumerate(repositories)
        if repository.enabled
    ]
    return json.dumps({"repositories": found})  # which is YAML too


def write_data(folder: Path, family: str, over: Mapping[str, object]) -> None:
    """The four files of the distribution, beside the data that the program comes with."""
    relative = RELATIVES[family]
    shutil.copytree(DATA, folder)
    known = load_distribution(relative.os, relative.dist, relative.arch, DATA)
    default = load_image_spec(default_template_path(DATA, relative), DATA)
    kernel = default.kernel.packages
    packages = [name for group in default.package_groups for name in group.packages if name not in kernel]
    own = folder / "osv" / "acme" / f"acme-{family}"
    files = {
        "config.yml": f'extends: ../../{relative.os}/{relative.dist}/config.yml\nreleaseVersion: "1"\n',
        "providerconfigs/x86_64_repo.yml": described(known.repositories, over),
        "chrootenvconfigs/chrootenv_x86_64.yml": json.dumps({"packages": known.chroot_packages}),
        "imageconfigs/defaultconfigs/default-raw-x86_64.yml": DEFAULT.format(
            family=family, kernel=json.dumps(kernel), packages=json.dumps(packages)
        ),
    }
    for name, text in files.items():
        path = own / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.mark.parametrize("family", ["deb", "rpm"])
def test_made_up_distribution_is_built_from_its_yaml(
    family: str, workshop: Workshop, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    over: dict[str, object] = {}  # the build host's mirror, with the keys that the relative's data pin
    if family == "rpm":
        lookalikes: Lookalikes = request.getfixturevalue("lookalikes")
        place = lookalikes.root / AZL3
        fingerprint = lookalikes.keys[AZL3].fingerprint.upper()
        over = {"url": place.as_uri(), "fingerprints": [fingerprint], "keyrings": [str(place / "RPM-GPG-KEY")]}
    write_data(tmp_path / "config", family, over)
    template = tmp_path / "mine.yml"
    template.write_text(TEMPLATE.format(family=family))
    done = workshop.run("--config-dir", str(tmp_path / "config"), "build", str(template))
    assert done.returncode == 0, done.stdout + done.stderr

    seen = inspect_image(workshop.work / f"acme-acme-{family}-x86_64" / "imagebuild" / "mine" / "mine-1.raw")
    assert seen.findings == ()
    assert [(part.name, part.type) for part in seen.parts] == [("acme-esp", "esp"), ("acme-root", "linux-root-amd64")]
    assert {program.kind for program in seen.programs} >= {"systemd-boot", "uki"}
    assert seen.root is not None
    assert (seen.root.hostname, seen.root.family) == ("anvil", family)
    assert "sudo" in {package.name for package in seen.root.packages}

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from os_image_composer.config.distribution_data import (
    default_template_path,
    known_targets,
    load_distribution,
    load_image_tools,
)
from os_image_composer.config.load import check_template
from os_image_composer.config.partition_types import PARTITION_TYPES
from os_image_composer.errors import UsageError


@pytest.fixture
def copy(data: Path, tmp_path: Path) -> Path:
    """The data in a folder that the test may change."""
    shutil.copytree(data, tmp_path / "config")
    return tmp_path / "config"


def test_every_known_target_loads_with_its_default_template(data: Path) -> None:
    targets = known_targets(data)
    offered = {(t.dist, t.arch, t.image_type) for t in targets}
    assert offered >= {(dist, "x86_64", "raw") for dist in ("azl3", "debian12", "debian13", "elxr12", "emt3")}
    assert offered >= {(dist, "aarch64", "raw") for dist in ("azl3", "emt3")}
    for target in targets:
        distribution = load_distribution(target.os, target.dist, target.arch, data)
        assert (distribution.os, distribution.dist, distribution.arch) == (target.os, target.dist, target.arch)
        assert check_template(default_template_path(data, target), data) == ()


def test_the_image_tools_come_from_a_known_distribution(data: Path) -> None:
    tools = load_image_tools(data)
    assert {"e2fsprogs", "mtools", "systemd-ukify"} <= set(tools.packages)
    assert (tools.os, tools.dist) in {(target.os, target.dist) for target in known_targets(data)}


def test_every_repository_pins_a_key_but_for_the_one_whose_user_has_to(data: Path) -> None:
    for target in known_targets(data):
        for repository in load_distribution(target.os, target.dist, target.arch, data).repositories:
            # Nobody has confirmed the vendor's fingerprint to us: whoever builds eLxr pins it in the settings.
            assert bool(repository.fingerprints) is (repository.name != "elxr")
            assert repository.fingerprints or repository.key_url
            assert all(re.fullmatch("[0-9A-F]{40}", fingerprint) for fingerprint in repository.fingerprints)
            assert all(keyring.is_absolute() for keyring in repository.keyrings)


@pytest.mark.parametrize(
    ("os", "dist", "fingerprint"),
    [
        ("azure-linux", "azl3", "2BC94FFF7015A5F28F1537AD0CD9FED33135CE90"),
        ("edge-microvisor-toolkit", "emt3", "84910237BDFAAD16C4F9D44411FF864ABDCE8692"),
    ],
)
@pytest.mark.parametrize("arch", ["x86_64", "aarch64"])
def test_the_vendors_keys_are_pinned_and_no_others(data: Path, os: str, dist: str, fingerprint: str, arch: str) -> None:
    repositories = load_distribution(os, dist, arch, data).repositories
    assert [repository.fingerprints for repository in repositories] == [(fingerprint,)]


@pytest.mark.parametrize("dist", ["debian12", "debian13"])
def test_the_pinned_keys_are_those_of_the_hosts_keyring(data: Path, dist: str) -> None:
    from pysequoia import Cert

    for repository in load_distribution("debian", dist, "x86_64", data).repositories:
        present = [keyring for keyring in repository.keyrings if keyring.is_file()]
        if not present:
            pytest.skip("this host has no archive keyring")
        certificates = {str(c.fingerprint).upper() for path in present for c in Cert.split_file(str(path))}
        assert set(repository.fingerprints) <= certificates


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("debian", "debian14", "x86_64"), "did you mean 'debian/debian13'?"),
        (("debian", "debian13", "x86-64"), "did you mean 'debian/debian13/x86_64'?"),
    ],
)
def test_an_unknown_distribution_names_what_there_is(data: Path, words: tuple[str, str, str], hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_distribution(*words, data)
    assert (caught.value.reference, caught.value.hint) == ("unknown-distribution", hint)


@pytest.mark.parametrize(
    ("file", "old", "new", "reference"),
    [
        ("../common.yml", "family: deb", "famly: deb", "unknown-key"),
        ("../common.yml", '"{output}"', '"output"', "wrong-value"),
        ("../common.yml", "var/log/journal/*", "/var/log/journal/*", "wrong-value"),
        ("../common.yml", "var/log/journal/*", "../var/log/journal/*", "wrong-value"),
        ("../common.yml", "        config: EFI/debian/grub.cfg ", "        #", "wrong-value"),
        ("../common.yml", "- update-initramfs", "- /usr/sbin/update-initramfs", "wrong-value"),
        ("../common.yml", 'INITRD: "No"', "INITRD: No1\n  initrd: a", "wrong-value"),
        ("config.yml", "releaseVersion:", "relaseVersion:", "unknown-key"),
        ("providerconfigs/x86_64_repo.yml", "04B54C3C", "04b54c3c", "wrong-value"),
        ("providerconfigs/x86_64_repo.yml", "url: null", "url: https://user@mirror.example/", "wrong-value"),
        ("providerconfigs/x86_64_repo.yml", "enabled: false", "enabled: 'no'", "wrong-type"),
        ("chrootenvconfigs/chrootenv_x86_64.yml", "packages: [apt]", "packages: apt", "wrong-type"),
    ],
)
def test_wrong_data_is_found_in_its_file(copy: Path, file: str, old: str, new: str, reference: str) -> None:
    path = (copy / "osv/debian/debian13" / file).resolve()
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(UsageError) as caught:
        load_distribution("debian", "debian13", "x86_64", copy)
    found = [finding for finding in caught.value.findings if finding.reference == reference]
    assert {finding.origin.file for finding in found if finding.origin} == {str(path)}


def test_what_a_distribution_says_goes_over_the_shared_file_key_by_key(data: Path, copy: Path) -> None:
    path = copy / "osv/debian/debian13/config.yml"
    path.write_text(path.read_text() + "environment: {INITRD: perhaps}\nheldBack: [bootctl]\n")
    shipped, changed = (load_distribution("debian", "debian13", "x86_64", folder) for folder in (data, copy))
    assert dict(changed.environment) == {**shipped.environment, "INITRD": "perhaps"}
    assert changed.held_back == ("bootctl",)
    assert changed.leftovers == shipped.leftovers


@pytest.mark.parametrize("named", ["../nowhere.yml", "../../../../outside.yml", "config.yml"])
def test_only_a_file_of_the_data_is_extended_and_not_the_file_itself(copy: Path, named: str) -> None:
    (copy / "../outside.yml").write_text((copy / "osv/debian/common.yml").read_text())
    path = copy / "osv/debian/debian13/config.yml"
    path.write_text(path.read_text().replace("../common.yml", named))
    with pytest.raises(UsageError) as caught:
        load_distribution("debian", "debian13", "x86_64", copy)
    assert caught.value.reference == "invalid-distribution-data"
    assert str(caught.value.origin) == f"{path}:2:10"


def test_partition_type_guids_are_distinct() -> None:
    assert len(set(PARTITION_TYPES.values())) == len(PARTITION_TYPES)
    assert all(re.fullmatch(r"[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}", g) for g in PARTITION_TYPES.values())

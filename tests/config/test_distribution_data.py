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
    assert ("debian13", "x86_64", "raw") in {(t.dist, t.arch, t.image_type) for t in targets}
    for target in targets:
        distribution = load_distribution(target.os, target.dist, target.arch, data)
        assert (distribution.os, distribution.dist, distribution.arch) == (target.os, target.dist, target.arch)
        assert check_template(default_template_path(data, target), data) == ()


def test_the_image_tools_come_from_a_known_distribution(data: Path) -> None:
    tools = load_image_tools(data)
    assert {"e2fsprogs", "mtools", "systemd-ukify"} <= set(tools.packages)
    assert (tools.os, tools.dist) in {(target.os, target.dist) for target in known_targets(data)}


def test_every_repository_pins_a_key(data: Path) -> None:
    for target in known_targets(data):
        for repository in load_distribution(target.os, target.dist, target.arch, data).repositories:
            assert repository.fingerprints
            assert all(re.fullmatch("[0-9A-F]{40}", fingerprint) for fingerprint in repository.fingerprints)
            assert all(keyring.is_absolute() for keyring in repository.keyrings)


def test_the_pinned_keys_are_those_of_the_hosts_keyring(data: Path) -> None:
    from pysequoia import Cert

    for repository in load_distribution("debian", "debian13", "x86_64", data).repositories:
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
        ("config.yml", "family: deb", "famly: deb", "unknown-key"),
        ("config.yml", '"{output}"', '"output"', "wrong-value"),
        ("config.yml", "var/log/btmp", "/var/log/btmp", "wrong-value"),
        ("config.yml", "var/log/btmp", "../var/log/btmp", "wrong-value"),
        ("config.yml", "- update-initramfs", "- /usr/sbin/update-initramfs", "wrong-value"),
        ("config.yml", 'INITRD: "No"', "INITRD: No1\n  initrd: a", "wrong-value"),
        ("providerconfigs/x86_64_repo.yml", "04B54C3C", "04b54c3c", "wrong-value"),
        ("providerconfigs/x86_64_repo.yml", "url: null", "url: https://user@mirror.example/", "wrong-value"),
        ("providerconfigs/x86_64_repo.yml", "priority: 500", "priority: high", "wrong-type"),
        ("chrootenvconfigs/chrootenv_x86_64.yml", "packages: [apt]", "packages: apt", "wrong-type"),
    ],
)
def test_wrong_data_is_found_in_its_file(copy: Path, file: str, old: str, new: str, reference: str) -> None:
    path = copy / "osv/debian/debian13" / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(UsageError) as caught:
        load_distribution("debian", "debian13", "x86_64", copy)
    assert reference in [finding.reference for finding in caught.value.findings]
    assert {finding.origin.file for finding in caught.value.findings if finding.origin} == {str(path)}


def test_partition_type_guids_are_distinct() -> None:
    assert len(set(PARTITION_TYPES.values())) == len(PARTITION_TYPES)
    assert all(re.fullmatch(r"[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}", g) for g in PARTITION_TYPES.values())

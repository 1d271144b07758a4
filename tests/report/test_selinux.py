"""What `inspect` says of SELinux."""

from __future__ import annotations

from pathlib import Path

import pytest

from os_image_composer.report.inspect import inspect_image
from os_image_composer.report.text import image_lines
from support.small_images import MIB, ext_image, made

CONFIG = "# a remark = no setting\n\nSELINUX=enforcing\nSELINUXTYPE=targeted\nSETLOCALDEFS=0\n"
LABEL = "system_u:object_r:etc_t:s0"


def image(folder: Path, labelled: tuple[str, ...], config: str = CONFIG) -> Path:
    tree = folder / "tree"
    (tree / "etc").mkdir(parents=True)
    (tree / "etc" / "passwd").write_text("root:x:0:0::/root:/bin/sh\n")
    if config:
        (tree / "etc" / "selinux").mkdir()
        (tree / "etc" / "selinux" / "config").write_text(config)
    path = ext_image(folder / "root.ext4", tree, "ext4", size=8 * MIB)
    for name in labelled:
        made("debugfs", "-w", "-R", f'ea_set {name} security.selinux "{LABEL}"', str(path))
    return path


@pytest.mark.parametrize(
    ("labelled", "labels", "words"),
    [
        (("/", "/etc", "/etc/passwd"), "all", "labelled"),
        (("/",), "some", "only some of it labelled"),
        ((), "none", "not labelled"),
    ],
)
def test_mode_policy_and_labels_are_told(tmp_path: Path, labelled: tuple[str, ...], labels: str, words: str) -> None:
    info = inspect_image(image(tmp_path, labelled))
    assert info.root is not None
    state = info.root.selinux
    assert state is not None
    assert (state.mode, state.policy, state.labels) == ("enforcing", "targeted", labels)
    assert f"  selinux    enforcing, policy targeted, {words}" in list(image_lines(info, packages=False))


def test_root_without_any_of_it_says_nothing_of_selinux(tmp_path: Path) -> None:
    info = inspect_image(image(tmp_path, (), config=""))
    assert info.root is not None
    assert info.root.selinux is None
    assert not [line for line in image_lines(info, packages=False) if "selinux" in line]


def test_labels_without_a_configuration_are_told(tmp_path: Path) -> None:
    info = inspect_image(image(tmp_path, ("/",), config=""))
    assert info.root is not None
    assert "  selinux    no mode, only some of it labelled" in list(image_lines(info, packages=False))

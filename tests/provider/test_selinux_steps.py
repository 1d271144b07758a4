"""What `systemConfig.selinux` adds to a plan, in both families."""

from __future__ import annotations

from pathlib import Path

import pytest

from os_image_composer.build.plan import Plan
from support.planning import planned
from support.small_archive import small_archive

TARGETS = {
    "deb": ("os: debian, dist: debian13", "linux-image-amd64", "security=selinux"),
    "rpm": ("os: azure-linux, dist: azl3", "kernel", "security=selinux selinux=1"),
}


def plan(folder: Path, family: str, system: str) -> Plan:
    target, _, _ = TARGETS[family]
    template = folder / "template.yml"
    template.write_text(
        f'image: {{name: small, version: "1.0"}}\ntarget: {{{target}, arch: x86_64, imageType: raw}}\n'
        f"systemConfig:\n  name: own\n  immutability: {{enabled: false}}\n{system}"
    )
    return planned(small_archive(folder / "archive", family=family), template)


def cmdline(made: Plan) -> list[str]:
    (boot,) = (step.step.options() for step in made if step.name == "boot")
    return str(boot["cmdline"]).split()


@pytest.mark.parametrize("family", TARGETS)
@pytest.mark.parametrize("mode", ["permissive", "enforcing"])
def test_whole_root_is_labelled_and_the_kernel_told(tmp_path: Path, family: str, mode: str) -> None:
    made = plan(tmp_path, family, f"  selinux: {mode}\n  kernel: {{cmdline: quiet}}\n")
    steps = {step.name: step.step for step in made}
    roots = [[i.step for i in steps[name].inputs if i.role == "lower"] for name in ("labels", "disk")]
    assert roots[0] == roots[1]
    assert {"os-configuration", "sbom"} <= set(roots[0])
    assert [i.step for i in steps["disk"].inputs if i.role == "labels"] == ["labels"]
    assert " ".join(cmdline(made)[2:]) == f"quiet {TARGETS[family][2]}"


def test_word_that_the_template_has_already_is_not_added(tmp_path: Path) -> None:
    made = plan(tmp_path, "rpm", "  selinux: enforcing\n  kernel: {cmdline: selinux=1 quiet}\n")
    assert cmdline(made)[2:] == ["selinux=1", "quiet", "security=selinux"]


@pytest.mark.parametrize(("family", "words"), [("deb", []), ("rpm", ["selinux=0"])])
def test_disabled_labels_nothing_and_switches_it_off(tmp_path: Path, family: str, words: list[str]) -> None:
    made = plan(tmp_path, family, "  selinux: disabled\n  kernel: {cmdline: quiet}\n")
    assert "labels" not in [step.name for step in made]
    assert cmdline(made)[2:] == ["quiet", *words]


def test_without_the_key_nothing_of_it_is_in_the_plan(tmp_path: Path) -> None:
    made = plan(tmp_path, "deb", "  kernel: {cmdline: quiet}\n")
    assert "labels" not in [step.name for step in made]
    assert cmdline(made)[2:] == ["quiet"]
    (configured,) = (step.step.options() for step in made if step.name == "os-configuration")
    assert configured["selinux"] is None

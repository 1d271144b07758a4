"""A vendor's unified kernel image in a plan: what the vendor has made is not made here."""

from __future__ import annotations

from pathlib import Path

import pytest

from os_image_composer.build.step import Step
from support.planning import planned
from support.small_archive import small_archive


def steps(folder: Path, chain: str) -> dict[str, Step]:
    template = folder / "template.yml"
    template.write_text(
        'image: {name: small, version: "1.0"}\n'
        "target: {os: azure-linux, dist: azl3, arch: x86_64, imageType: raw}\n"
        f"systemConfig:\n  name: own\n  bootloader: {{chain: {chain}}}\n"
    )
    return {step.name: step.step for step in planned(small_archive(folder / "archive", family="rpm"), template)}


def test_no_initrd_is_made_for_a_uki_that_has_one(tmp_path: Path) -> None:
    made = steps(tmp_path, "vendor")
    assert not {"initrd", "initrd-configuration"} & set(made)
    assert {given.role for given in made["boot"].inputs} == {"lower"}


def test_nothing_of_the_templates_command_line_is_in_the_step_that_places_it(tmp_path: Path) -> None:
    assert steps(tmp_path, "vendor")["boot"].options()["cmdline"] == ""


@pytest.mark.parametrize("name", ["initrd", "initrd-configuration"])
def test_own_chain_makes_both(tmp_path: Path, name: str) -> None:
    assert name in steps(tmp_path, "own")

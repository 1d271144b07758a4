"""A step's version is a promise: the same options and version give the same output. When the source of a step changes,
its version goes up, or somebody says that the output is the same by accepting the new digest:

    scripts/accept-step-sources
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support import step_sources as sources
from support.step_sources import ACCEPTED, step_sources

SOURCES = step_sources()


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_source_of_a_step_changed_only_with_its_version_or_an_explicit_same_output(name: str) -> None:
    accepted = json.loads(ACCEPTED.read_text())
    assert name in accepted, f"{name} is new: run scripts/accept-step-sources"
    version, digest = SOURCES[name]
    if digest != accepted[name]["sha256"]:
        assert version != accepted[name]["version"], (
            f"{name} changed. If its output may differ, raise its version; then, or if the output is the same, "
            "run scripts/accept-step-sources"
        )
        pytest.fail(f"{name} has a new version: run scripts/accept-step-sources")


def test_every_step_of_the_sample_template_is_watched(tmp_path: Path) -> None:
    assert {"install-packages", "configure-os", "make-initrd", "make-uki", "write-disk"} <= set(SOURCES)


def test_what_a_step_gets_its_bytes_through_is_watched_with_it() -> None:
    sandbox = sources._with_imports(["os_image_composer.chroot.sandbox"], sources.AROUND_THE_SANDBOX)
    assert {f"os_image_composer.chroot.{name}" for name in ("session", "ids", "asking", "feeding")} <= sandbox
    disk = sources._with_imports(["os_image_composer.image.disk"], sources.SURROUNDINGS)
    assert {"os_image_composer.image.ext4", "os_image_composer.image.fat"} <= disk

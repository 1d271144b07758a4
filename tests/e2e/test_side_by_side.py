"""Builds at once with one cache and one store: each gives what it gives alone."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.building import Building
from support.commands import told
from support.workshop import TEMPLATE, Workshop, remove_workshop

pytestmark = pytest.mark.build


@pytest.fixture
def shared(built: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    """An empty store beside the packages, locks and password hashes of a finished build."""
    made = Workshop(tmp_path_factory.mktemp("shared"))
    made.cache.mkdir()
    (made.cache / "packages").symlink_to(built.cache / "packages")
    shutil.copytree(built.cache / "locks", made.cache / "locks")
    yield made
    (made.cache / "packages").unlink()
    remove_workshop(made)


@pytest.mark.timeout(1200)
def test_two_of_one_template_and_one_of_another_are_right_and_make_no_layer_twice(
    built: Workshop, shared: Workshop, tmp_path: Path
) -> None:
    other = tmp_path / "other.yml"
    other.write_text(TEMPLATE.read_text().replace("hostname: debian13", "hostname: elsewhere"))
    builds = [
        Building(shared, tmp_path / "one"),
        Building(shared, tmp_path / "two"),
        Building(shared, tmp_path / "three", "--output", str(tmp_path / "out"), template=other),
    ]
    one, two, three = (told(build.finished()) for build in builds)
    alone = told(built.run("build", "--json-events", str(TEMPLATE)))
    other_alone = told(built.run("build", "--json-events", "--output", str(tmp_path / "alone"), str(other)))
    assert one.sha256 == two.sha256 == alone.sha256
    assert three.sha256 == other_alone.sha256 != alone.sha256
    ran = [step for build in (one, two, three) for step in build.ran]
    layers = [step for step in ran if step.startswith("packages:") or step in ("essential", "chroot-environment")]
    assert len(layers) == len(set(layers))
    again = told(shared.run("build", "--json-events", str(TEMPLATE)))
    assert again.ran == () and again.sha256 == alone.sha256

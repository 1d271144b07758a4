"""`cache clean` removes what an ordinary rm cannot, and what is kept still builds."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from os_image_composer.build.scratch import Scratch
from os_image_composer.chroot.job import Tree, WriteFile
from support.workshop import Workshop


@pytest.fixture
def used(tmp_path: Path) -> Workshop:
    """A cache with a layer that holds another user's secret folder, and a fetched package."""
    workshop = Workshop(tmp_path)
    (workshop.cache / "tmp").mkdir(parents=True)
    (workshop.cache / "packages").mkdir()
    (workshop.cache / "packages" / "sha256").mkdir()
    (workshop.cache / "packages" / "sha256" / "one").write_text("bytes")
    (workshop.cache / "packages" / "mine").write_text("of somebody")
    (workshop.cache / "locks").mkdir()
    (workshop.cache / "metadata").mkdir()
    (workshop.cache / "metadata" / "newest-dates.json").write_text("{}")
    (workshop.cache / "metadata" / "indexes").mkdir()
    layer = workshop.cache / "store" / "results" / "key" / "content"
    layer.parent.mkdir(parents=True)
    sandbox = workshop.bare_sandbox()
    sandbox.new_layer(layer)
    sandbox.edit(Tree(upper=layer), [WriteFile("/home/secret", b"x", mode=0o600, uid=1000, gid=1000)])
    shutil.rmtree(workshop.cache / "tmp" / "tests")
    return workshop


def test_store_goes_and_downloads_stay_unless_asked_for(used: Workshop) -> None:
    done = used.run("cache", "clean")
    assert done.returncode == 0, done.stderr
    assert sorted(p.name for p in used.cache.iterdir()) == ["locks", "metadata", "packages", "tmp"]
    assert ["removed", str(used.cache / "store")] in [line.split() for line in done.stdout.splitlines()]
    again = used.run("cache", "clean", "--downloads")
    assert again.returncode == 0, again.stderr
    assert [p.name for p in (used.cache / "packages").iterdir()] == ["mine"]
    # What tells an old mirror from a new one is no cache.
    assert [p.name for p in (used.cache / "metadata").iterdir()] == ["newest-dates.json"]


def test_cache_of_a_running_build_is_not_touched(used: Workshop) -> None:
    scratch = Scratch(used.cache / "tmp", used.bare_sandbox().remove)
    with scratch.folder():
        done = used.run("cache", "clean")
    assert done.returncode == 1
    assert "[build-running]" in done.stderr
    assert (used.cache / "store").exists()

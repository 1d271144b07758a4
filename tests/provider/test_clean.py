"""What the cache holds, and what of it goes. Folders of files stand for results; layers are looked at in tests/e2e."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from os_image_composer.build.inventory import inventory, note_use
from os_image_composer.build.plan import make_plan
from os_image_composer.build.step import Step
from os_image_composer.config.settings import Settings, load_settings
from os_image_composer.provider.clean import DAY, Cleaned, clean_cache, list_results, measure
from support.engine import Write

NOW = 1_700_000_000.0


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    found = load_settings(None, {"HOME": str(tmp_path)}, tmp_path)
    return found.with_overrides(cache_dir=tmp_path / "cache")


def result(settings: Settings, key: str, step: str, size: int, used: float) -> Path:
    """A finished step that was last used at `used`."""
    folder = settings.cache_dir / "store" / "results" / key
    (folder / "content").mkdir(parents=True)
    (folder / "content" / "file").write_bytes(bytes(size))
    record = {"kind": "files", "digest": key, "fingerprint": "", "size": 0, "step": step}
    (folder / "record.json").write_text(json.dumps(record))
    os.utime(folder / "record.json", (used, used))
    os.utime(folder, (used, used))
    return folder


def test_results_are_listed_with_their_size_the_last_used_first(settings: Settings) -> None:
    result(settings, "a" * 64, "initrd", 10, NOW - DAY)
    result(settings, "b" * 64, "boot", 2000, NOW)
    found = [(e.kept.step, e.size, e.kept.used) for e in list_results(settings)]
    assert found == [("boot", 2000, NOW), ("initrd", 10, NOW - DAY)]


def test_a_damaged_record_is_left_out(settings: Settings) -> None:
    (result(settings, "a" * 64, "initrd", 10, NOW) / "record.json").write_text("{")
    assert list_results(settings) == ()


def test_the_parts_of_the_cache_are_measured(settings: Settings) -> None:
    result(settings, "a" * 64, "boot", 2000, NOW)
    package = settings.cache_dir / "packages" / "sha256" / "aa" / "aaaa"
    package.parent.mkdir(parents=True)
    package.write_bytes(bytes(300))
    sizes = {area.name: (area.count, area.size) for area in measure(settings)}
    assert (sizes["results"], sizes["packages"], sizes["locks"]) == ((1, 2000), (1, 300), (0, 0))


@pytest.mark.parametrize("dry_run", [True, False])
def test_what_is_removed_is_not_said_to_be_kept(settings: Settings, dry_run: bool) -> None:
    package = settings.cache_dir / "packages" / "sha256" / "aa" / "aaaa"
    package.parent.mkdir(parents=True)
    package.write_bytes(bytes(300))
    said = clean_cache(settings, downloads=True, dry_run=dry_run)
    assert said == Cleaned((settings.cache_dir / "packages",), ())
    assert package.exists() == dry_run
    assert clean_cache(settings, downloads=False).kept == (settings.cache_dir / "packages",)


def test_only_what_no_build_used_for_so_long_goes(settings: Settings) -> None:
    old = result(settings, "a" * 64, "initrd", 10, NOW - 31 * DAY)
    new = result(settings, "b" * 64, "boot", 10, NOW - 29 * DAY)
    links = settings.cache_dir / "store" / "ids"
    links.mkdir()
    (links / "one").write_text("a" * 64)
    (links / "two").write_text("b" * 64)
    said = clean_cache(settings, downloads=False, unused=30, now=NOW, dry_run=True)
    assert said.removed == (old,)
    assert old.exists()
    assert clean_cache(settings, downloads=False, unused=30, now=NOW).removed == (old,)
    assert (old.exists(), new.exists()) == (False, True)
    assert [link.name for link in links.iterdir()] == ["two"]


def test_a_build_counts_as_use_of_all_that_it_rests_on(settings: Settings) -> None:
    plan = make_plan("p", [Step("one", Write("a")), Step("two", Write("b"))])
    links = settings.cache_dir / "store" / "ids"
    links.mkdir(parents=True)
    for step, key in zip(plan, ("a" * 64, "b" * 64), strict=True):
        result(settings, key, step.name, 1, NOW - DAY)
        (links / step.id).write_text(key)
    result(settings, "c" * 64, "other", 1, NOW - DAY)
    note_use(settings.cache_dir / "store", plan, NOW)
    assert {k.step: k.used for k in inventory(settings.cache_dir / "store")} == {
        "one": NOW,
        "two": NOW,
        "other": NOW - DAY,
    }

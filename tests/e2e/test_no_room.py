"""A full disk and a read-only cache end a build with a clear error and poison nothing: given room, the same bits."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from support.commands import told
from support.container import as_ordinary_user, container_argv, tmpfs
from support.workshop import CHECKOUT, TEMPLATE, Workshop, remove_workshop

pytestmark = [pytest.mark.build, as_ordinary_user]


def run(
    workshop: Workshop,
    prepare: list[list[object]],
    script: str,
    *words: str,
    template: Path = TEMPLATE,
    flags: tuple[str, ...] = (),
) -> subprocess.CompletedProcess[str]:
    """Run a shell script in a container after `prepare`; `"$@"` in it is the build of a template."""
    env = {**os.environ, "PYTHONPATH": str(CHECKOUT / "src")}
    argv = workshop.argv(*flags, "build", "--json-events", *words, str(template))
    inside = container_argv(prepare, ["sh", "-c", script, "sh", *argv])
    return subprocess.run(inside, env=env, cwd=CHECKOUT, capture_output=True, text=True, timeout=900)


@pytest.fixture
def small(built: Workshop, tmp_path: Path) -> Workshop:
    """Empty folders to mount on, beside which the locks of a finished build lie."""
    shutil.copytree(built.cache / "locks", tmp_path / "locks")
    (tmp_path / "cache").mkdir()
    (tmp_path / "work").mkdir()
    return Workshop(tmp_path)


def prepared(small: Workshop, megabytes: int, packages: Path | None) -> list[list[object]]:
    """The cache of `small` on a filesystem of that size, with locks and perhaps packages from elsewhere."""
    commands = [tmpfs(small.cache, megabytes), ["cp", "-a", small.root / "locks", small.cache]]
    return [*commands, ["ln", "-s", packages, small.cache / "packages"]] if packages else commands


def test_package_cache_that_is_full(small: Workshop) -> None:
    packages = small.cache / "packages"
    done = run(small, [*prepared(small, 400, None), ["mkdir", packages], tmpfs(packages, 10)], '"$@"')
    assert done.returncode == 1
    assert "error[cache-full]" in done.stderr and "hint: free some space there" in done.stderr
    assert not list(small.work.rglob("*.raw"))


@pytest.mark.timeout(1200)
def test_store_that_is_full_again_and_again_gives_the_same_bits_when_there_is_room(
    built: Workshop, small: Workshop
) -> None:
    done = full_twice(small, prepared(small, 50, built.cache / "packages"))
    assert told(done).sha256 == told(built.run("build", "--json-events", str(TEMPLATE))).sha256


@pytest.mark.matrix
@pytest.mark.timeout(1800)
def test_store_that_is_full_while_the_other_family_installs(
    rpm_settings: Path, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    template = CHECKOUT / "image-templates" / "azl3-x86_64-minimal-raw.yml"
    flags = ("--config", str(rpm_settings))
    own = Workshop(tmp_path_factory.mktemp("roomy"))
    reference = told(own.run(*flags, "build", "--json-events", str(template)))
    shutil.copytree(own.cache / "locks", tmp_path / "locks")
    for name in ("cache", "work"):
        (tmp_path / name).mkdir()
    small = Workshop(tmp_path)
    done = full_twice(small, prepared(small, 50, own.cache / "packages"), template, flags)
    assert told(done).sha256 == reference.sha256
    remove_workshop(own)


def full_twice(
    small: Workshop, prepare: list[list[object]], template: Path = TEMPLATE, flags: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    """The build that succeeds after two that had no room, for a part of the first layer, then for some layers."""
    script = f"""
    for size in 150 450; do
        mount -o remount,size=${{size}}M {small.cache}
        if "$@" >/dev/null; then exit 9; fi
        test -z "$(ls -A {small.cache}/tmp)" || exit 8
    done
    mount -o remount,size=4000M {small.cache}
    "$@"
    """
    done = run(small, prepare, script, template=template, flags=flags)
    assert done.stderr.count("error[") == 2, done.stderr
    full = f"hint: no space is left in {small.cache}/store: free some, or set cache_dir"
    assert done.stderr.count(full) + done.stderr.count("hint: free some disk space") == 2
    return done


@pytest.mark.parametrize("made", [True, False], ids=["made", "copied"])
def test_output_folder_that_is_full(built: Workshop, tmp_path: Path, made: bool) -> None:
    out = tmp_path / "out"
    out.mkdir()
    script = f'"$@"; status=$?; ls -A {out} >&2; exit $status'
    template = ("--output", str(out))
    # An image that is published anywhere is copied.
    known = [built.image(), built.cache / "published.json"] if made else []
    moved = [(file, file.rename(file.with_suffix(".away"))) for file in known]
    try:
        done = run(built, [tmpfs(out, 100)], script, *template)
    finally:
        for file, away in moved:
            away.rename(file)
    assert ('"step-started"' in done.stdout) is made
    assert done.returncode == 1
    assert "error[output-full]" in done.stderr and "--output" in done.stderr
    assert ".raw" not in done.stderr.splitlines()[-1]


def test_cache_that_is_read_only(built: Workshop, tmp_path: Path) -> None:
    read_only = [["mount", "--bind", built.cache, built.cache], ["mount", "-o", "remount,bind,ro", built.cache]]
    done = run(built, read_only, '"$@"', "--output", str(tmp_path / "out"))
    assert done.returncode == 1
    assert "Read-only file system" in done.stderr and "hint: set cache_dir in the settings" in done.stderr
    assert not list(tmp_path.rglob("*.raw"))
    assert told(built.run("build", "--json-events", str(TEMPLATE))).ran == ()

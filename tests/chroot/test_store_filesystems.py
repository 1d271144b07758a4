"""What `doctor` finds when it tries a store on real filesystems, mounted in a container of the test's own."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from support.container import as_ordinary_user, in_container

pytestmark = as_ordinary_user


def store_check(tmp_path: Path, *prepare: list[object]) -> dict[str, str]:
    argv = [sys.executable, "-m", "os_image_composer", "--cache-dir", str(tmp_path / "m" / "cache"), "doctor", "--json"]
    done = in_container([["mkdir", tmp_path / "m"], *prepare], argv, home=tmp_path)
    assert done.stdout, done.stderr
    (check,) = (check for check in json.loads(done.stdout)["checks"] if check["name"] == "store")
    assert isinstance(check, dict)
    return check


def mounted(kind: str, options: str, tmp_path: Path) -> list[object]:
    return ["mount", "-t", kind, "-o", options, "none", tmp_path / "m"]


@pytest.mark.parametrize("options", ["size=20M", "noexec", "nosuid,nodev"])
def test_memory_holds_layers_whatever_its_mount_allows(tmp_path: Path, options: str) -> None:
    check = store_check(tmp_path, mounted("tmpfs", options, tmp_path))
    assert (check["state"], check["found"][-5:]) == ("ok", "tried")


def test_read_only_filesystem_is_refused_with_what_to_do(tmp_path: Path) -> None:
    check = store_check(tmp_path, mounted("tmpfs", "ro", tmp_path))
    assert check["state"] == "failed" and "Read-only file system" in check["found"]
    assert "--cache-dir" in check["mend"]


def test_filesystem_without_extended_attributes_is_refused(tmp_path: Path) -> None:
    check = store_check(tmp_path, mounted("ramfs", "mode=0755", tmp_path))
    assert check["state"] == "failed" and check["found"].startswith("ramfs cannot hold layers")
    assert check["mend"] == "set cache_dir to a folder on ext4, xfs or btrfs"


def test_overlay_on_an_overlay_is_refused(tmp_path: Path) -> None:
    layers = [tmp_path / name for name in ("lower", "upper", "work")]
    options = "userxattr,lowerdir={},upperdir={},workdir={}".format(*layers)
    check = store_check(tmp_path, ["mkdir", *layers], mounted("overlay", options, tmp_path))
    assert check["state"] == "failed" and "overlay-refused" in check["found"]
    assert check["mend"] == "set cache_dir to a folder on ext4, xfs or btrfs"


def test_too_little_room_is_a_warning_that_names_the_setting(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "os_image_composer", "--cache-dir", str(tmp_path / "m" / "cache"), "doctor"]
    prepare = [["mkdir", tmp_path / "m"], mounted("tmpfs", "size=20M", tmp_path)]
    done = in_container(prepare, argv, home=tmp_path)
    assert done.returncode == 0, done.stdout
    assert "set cache_dir to a larger filesystem" in done.stdout

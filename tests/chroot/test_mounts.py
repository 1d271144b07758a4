"""Binds, memory and second trees inside the sandbox; no path of a tree leads out of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from os_image_composer.chroot.job import (
    Bind,
    Completed,
    Job,
    MakeSymlink,
    MountedTree,
    Tree,
    WriteFile,
)
from os_image_composer.chroot.sandbox import Sandbox
from os_image_composer.errors import StepError

Sh = Callable[..., Completed]
MakeLayer = Callable[..., Path]
HOST_USR = Bind(Path("/usr"), "/usr")


def test_binds_are_read_only_unless_asked(sh: Sh, sandbox: Sandbox, place: Path, layer: MakeLayer) -> None:
    folder = layer("folder")
    assert b"Read-only" in sh("touch /mnt/x", Bind(folder, "/mnt")).output
    assert sh("touch /mnt/x", Bind(folder, "/mnt", read_only=False)).status == 0
    assert [p.name for p in folder.iterdir()] == ["x"]


def test_a_new_file_can_be_written_inside_and_owned_again(sh: Sh, sandbox: Sandbox, place: Path) -> None:
    image = place / "disk"
    sandbox.new_file(image, 1 << 30)
    assert image.stat().st_size == 1 << 30 and image.stat().st_blocks == 0
    assert sh("printf abc >> /run/disk", Bind(image, "/run/disk", read_only=False)).status == 0
    sandbox.own(image)
    with image.open("rb") as file:
        file.seek(1 << 30)
        assert file.read() == b"abc"
    image.chmod(0o600)


def test_second_tree_is_read_only_and_merged(sh: Sh, layer: MakeLayer) -> None:
    one, two = layer("one", {"a": b"1", "b": b"1"}), layer("two", {"b": b"2"})
    done = sh("cat /target/a /target/b; ls /target; touch /target/x", MountedTree(Tree((one, two)), "/target"))
    assert done.output.startswith(b"12a\nb\n") and b"Read-only" in done.output


def test_second_tree_of_one_layer_shows_exactly_that(sh: Sh, layer: MakeLayer) -> None:
    one = layer("one", {"a": b"1"})
    assert sh("cd /target; find . | sort", MountedTree(Tree((one,)), "/target")).output == b".\n./a\n"


def test_programs_run_in_a_second_tree_with_its_own_api(sh: Sh, layer: MakeLayer, tiny: Path) -> None:
    upper = layer("upper")
    target = MountedTree(Tree((tiny,), upper), "/target", api=True)
    script = (
        "touch /tmp/outer; chroot /target sh -c 'ls /tmp; touch /made; test -e /proc/self/exe;"
        " echo x > /dev/null; stat -fc %T /dev/pts; ls -d /sys /run/lock'"
    )
    done = sh(script, target, Bind(Path("/usr"), "/target/usr"))
    assert (done.status, done.output) == (0, b"devpts\n/run/lock\n/sys\n")
    assert [p.name for p in upper.iterdir()] == ["made"]


def test_target_behind_a_symlink_is_resolved_inside(sh: Sh, sandbox: Sandbox, layer: MakeLayer) -> None:
    lower = layer("lower")
    sandbox.edit(Tree(upper=lower), [MakeSymlink("way", "/far/away")])
    folder = layer("folder", {"f": b"seen"})
    upper = layer("upper")
    done = sh("cat /far/away/in/f", Bind(folder, "/way/in"), lower=(lower,), upper=upper)
    assert done.output == b"seen"
    assert list(upper.iterdir()) == []


@pytest.mark.parametrize("name", ["proc", "dev", "tmp"])
def test_a_tree_whose_api_directory_is_a_symlink_is_refused(
    sandbox: Sandbox, layer: MakeLayer, tiny: Path, name: str
) -> None:
    lower = layer("lower")
    sandbox.edit(Tree(upper=lower), [MakeSymlink(name, "/etc")])
    with pytest.raises(StepError) as caught:
        sandbox.run(Job(Tree((tiny, lower)), ("true",), (HOST_USR,)))
    assert caught.value.reference == "mount-point-refused"


def test_mount_point_below_a_bind_is_not_made(sh: Sh, layer: MakeLayer) -> None:
    folder, other = layer("folder"), layer("other")
    with pytest.raises(StepError) as caught:
        sh("true", Bind(folder, "/mnt", read_only=False), Bind(other, "/mnt/below"))
    assert caught.value.reference == "mount-point-missing"
    assert list(folder.iterdir()) == []


def test_a_file_cannot_be_mounted_on_a_directory(sh: Sh, place: Path) -> None:
    (place / "file").write_bytes(b"")
    with pytest.raises(StepError) as caught:
        sh("true", Bind(place / "file", "/etc"))
    assert caught.value.reference == "mount-point-refused"


def test_sources_with_colons_and_commas(sh: Sh, layer: MakeLayer) -> None:
    lower, upper = layer("a:b,c=d", {"f": b"1"}), layer("e:f\\,g")
    assert sh("cat /f; touch /g", lower=(lower,), upper=upper).output == b"1"
    assert (upper / "g").exists()


def test_a_source_only_the_caller_may_reach(sh: Sh, sandbox: Sandbox, layer: MakeLayer, place: Path) -> None:
    lower = layer("lower", {"f": b"1"})
    place.chmod(0o700)
    assert sh("cat /f", lower=(lower,)).output == b"1"


def test_an_edit_of_a_file_that_the_tree_mounts_over_reaches_the_layer(sandbox: Sandbox, layer: MakeLayer) -> None:
    upper = layer("upper")
    sandbox.edit(Tree(upper=upper), [WriteFile("tmp/f", b"1"), WriteFile("dev/f", b"2")])
    assert sandbox.read(Tree((upper,)), ["tmp/f", "dev/f"]) == {"tmp/f": b"1", "dev/f": b"2"}

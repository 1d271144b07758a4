"""What is done to trees without running a program of theirs."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from os_image_composer.build.clock import Span
from os_image_composer.chroot.job import (
    Completed,
    Edit,
    MakeDirectory,
    MakeSymlink,
    Remove,
    Rewrite,
    Tree,
    WriteFile,
)
from os_image_composer.chroot.sandbox import READ_LIMIT, Sandbox
from os_image_composer.errors import StepError, TrustError

Sh = Callable[..., Completed]
MakeLayer = Callable[..., Path]
CLAMP = 1_500_000_000
AGED = "find /a /new /etc /real /way -exec touch -hd @1400000000 {} + 2>/dev/null; touch -d @1400000000 /"

# --- digest and fingerprint ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        "printf 2 > /a/f",
        "chmod 600 /a/f",
        "chown 1:0 /a/f",
        "chown :1 /a",
        "chown -h 3 /a/l",
        "touch -d @1300000000 /a/f",
        "touch -d @1300000000 /a",
        "touch -hd @1300000000 /a/l",
        "ln -sfn f2 /a/l && touch -hd @1400000000 /a/l",
        "mv /a/f /a/g",
        "rm /a/f && mkdir /a/f",
        "rm /a/h && cp -p /a/f /a/h",
        ": > /new",
    ],
)
def test_digest_changes_with_this_alone(change: str, sh: Sh, sandbox: Sandbox, layer: MakeLayer) -> None:
    path = layer("tree")
    assert sh(f"mkdir /a; printf 1 > /a/f; ln /a/f /a/h; ln -s f /a/l; {AGED}", upper=path).status == 0
    before = sandbox.digest(path, CLAMP)
    aged = "true" if change.startswith("touch") else AGED
    assert sh(f"{change} && {aged}", upper=path).status == 0
    assert sandbox.digest(path, CLAMP).sha256 != before.sha256


def test_digest_does_not_change_with_times_after_the_clamp(sh: Sh, sandbox: Sandbox, layer: MakeLayer) -> None:
    path = layer("tree", {"a/f": b"1"})
    before = sandbox.digest(path, CLAMP)
    assert sh("touch -d @1600000000 /a/f /a /", upper=path).status == 0
    assert sandbox.digest(path, CLAMP) == before
    assert (before.entries, before.bytes) == (3, 1)


def test_digest_is_of_content_and_not_of_place_or_order(sandbox: Sandbox, layer: MakeLayer) -> None:
    one, two = layer("one", {"b": b"1", "a": b"2"}), layer("two", {"a": b"2", "b": b"1"})
    assert sandbox.digest(one, CLAMP) == sandbox.digest(two, CLAMP)


def test_digest_counts_whiteouts_and_opaque_directories(sh: Sh, sandbox: Sandbox, layer: MakeLayer) -> None:
    lower = layer("lower", {"d/f": b"1", "e": b"1"})
    empty, removed, opaque = layer("empty"), layer("removed"), layer("opaque")
    plain = layer("plain")
    assert sh("rm /e", lower=(lower,), upper=removed).status == 0
    assert sh("rm -r /d; mkdir /d", lower=(lower,), upper=opaque).status == 0
    sandbox.edit(Tree(upper=plain), [MakeDirectory("d")])
    digests = {sandbox.digest(path, CLAMP).sha256 for path in (empty, removed, opaque, plain)}
    assert len(digests) == 4


def test_digest_sees_capabilities(sh: Sh, sandbox: Sandbox, layer: MakeLayer) -> None:
    path = layer("tree", {"f": b"1"})
    before = sandbox.digest(path, CLAMP)
    assert sh("setcap cap_net_raw=ep /f", upper=path).status == 0
    assert sandbox.digest(path, CLAMP) != before
    (found,) = sandbox.survey(Tree((path,))).xattrs
    assert (found.path, found.name, found.value[:4], len(found.value)) == (
        "f",
        "security.capability",
        b"\x01\0\0\x02",
        20,
    )


def test_fingerprint_notices_what_was_touched(sh: Sh, sandbox: Sandbox, layer: MakeLayer) -> None:
    one, two = layer("one", {"a/f": b"1"}), layer("two", {"a/f": b"1"})
    before = sandbox.fingerprint([one, two])
    assert sandbox.fingerprint([one, two]) == before and before[0] != before[1]
    assert sh("printf 2 > /a/f", upper=one).status == 0
    after = sandbox.fingerprint([one, two])
    assert after[0] != before[0] and after[1] == before[1]
    assert sandbox.fingerprint([]) == ()


# --- settle -------------------------------------------------------------------------------------------------

WRITTEN = "mkdir /d; printf 1 > /d/f; ln /d/f /d/h; ln -s f /d/l; printf 2 > /p; touch -d @1400000000 /p"


def times(sandbox: Sandbox, path: Path) -> dict[str, int]:
    return {name: int(fields[1]) // 10**9 for name, fields in sandbox.entries(path, 2**40).items()}


def test_what_a_build_wrote_is_dated_by_the_epoch_and_a_package_keeps_its_date(
    sh: Sh, sandbox: Sandbox, layer: MakeLayer
) -> None:
    path = layer("tree")
    assert sh(WRITTEN, upper=path).status == 0
    settled = sandbox.settle(path, CLAMP, Span(time.time() - 60, time.time()))
    assert times(sandbox, path) == dict.fromkeys(("/", "/d", "/d/f", "/d/h", "/d/l"), CLAMP) | {"/p": 1_400_000_000}
    assert sandbox.digest(path, CLAMP) == settled


def test_what_a_build_wrote_is_dated_by_the_epoch_where_the_clock_is_years_before_it(
    sh: Sh, sandbox: Sandbox, layer: MakeLayer
) -> None:
    """As the kernel would have dated it then."""
    right, wrong = layer("right"), layer("wrong")
    assert sh(WRITTEN, upper=right).status == 0
    hour = 1_450_000_000
    assert sh(f"{WRITTEN}; touch -hd @{hour + 7} /d/f /d/l; touch -d @{hour} /d /", upper=wrong).status == 0
    ours = sandbox.settle(right, CLAMP, Span(time.time() - 60, time.time()))
    assert sandbox.digest(wrong, CLAMP) != ours
    assert sandbox.settle(wrong, CLAMP, Span(hour, hour + 8)) == ours
    assert times(sandbox, wrong)["/p"] == 1_400_000_000


# --- remove -------------------------------------------------------------------------------------------------


def test_remove_clears_what_others_own(sh: Sh, sandbox: Sandbox, layer: MakeLayer, place: Path) -> None:
    path = layer("tree")
    script = "mkdir -p /a/b; touch /a/b/c; chown -R 33:33 /a; chmod 0 /a /a/b; ln -s /etc /link; mkfifo /p"
    assert sh(script, upper=path).status == 0
    sandbox.remove([path, place / "not-there"])
    assert not path.exists()


def test_remove_does_not_follow_symlinks(sandbox: Sandbox, layer: MakeLayer, place: Path) -> None:
    (place / "kept").mkdir()
    (place / "kept/file").write_bytes(b"")
    path = layer("tree")
    sandbox.edit(Tree(upper=path), [MakeSymlink("link", str(place / "kept"))])
    sandbox.remove([path])
    assert (place / "kept/file").exists()


# --- edit and read ------------------------------------------------------------------------------------------


def test_edits_are_made_in_order(sandbox: Sandbox, layer: MakeLayer, sh: Sh) -> None:
    path = layer("tree")
    edits: list[Edit] = [
        WriteFile("/etc/deep/file", b"x" * 2_000_000, 0o640, 5, 6),
        WriteFile("etc/gone", b""),
        Remove("etc/g*"),
        MakeDirectory("/srv/data", 0o1777),
        MakeSymlink("/etc/link", "../srv"),
        MakeSymlink("/etc/link", "../var"),
    ]
    sandbox.edit(Tree(upper=path), edits)
    done = sh(
        "stat -c '%n %F %a %u:%g %s' /etc /etc/deep/file; stat -c %a /srv/data; readlink /etc/link", lower=(path,)
    )
    assert done.output.decode().splitlines()[1:] == ["/etc/deep/file regular file 640 5:6 2000000", "1777", "../var"]
    assert sandbox.glob(Tree((path,)), "etc/*") == ("etc/deep", "etc/link")


def test_rewriting_a_file_keeps_mode_owner_and_the_other_name(sh: Sh, sandbox: Sandbox, layer: MakeLayer) -> None:
    path = layer("tree", {"one": b"a long text"})
    assert sh("ln /one /two; chown 3:42 /one; chmod 640 /one", upper=path).status == 0
    sandbox.edit(Tree(upper=path), [Rewrite("/one", b"short")])
    assert sh("stat -c '%a %u:%g' /one", lower=(path,)).output == b"640 3:42\n"
    assert sandbox.read(Tree((path,)), ["one", "two"]) == {"one": b"short", "two": b"short"}


def test_an_edit_of_a_hard_link_leaves_the_other_name(sh: Sh, sandbox: Sandbox, layer: MakeLayer) -> None:
    path = layer("tree", {"one": b"old"})
    assert sh("ln /one /two", upper=path).status == 0
    sandbox.edit(Tree(upper=path), [WriteFile("one", b"new")])
    assert sandbox.read(Tree((path,)), ["one", "two"]) == {"one": b"new", "two": b"old"}


def test_removing_from_a_lower_layer_hides_it(sandbox: Sandbox, layer: MakeLayer) -> None:
    lower, upper = layer("lower", {"a/b": b"1", "a/c": b"1", "d": b"1"}), layer("upper")
    sandbox.edit(Tree((lower,), upper), [Remove("a"), Remove("d"), Remove("not/there")])
    assert sandbox.glob(Tree((lower, upper)), "**") == ()
    assert (lower / "a/b").exists()


def test_an_edit_that_climbs_is_refused(sandbox: Sandbox, layer: MakeLayer) -> None:
    with pytest.raises(TrustError) as caught:
        sandbox.edit(Tree(upper=layer("tree")), [WriteFile("../x", b"")])
    assert caught.value.reference == "path-leads-out"


def test_reading_follows_symlinks_inside_and_leaves_out_what_is_missing(sandbox: Sandbox, layer: MakeLayer) -> None:
    lower, upper = layer("lower", {"etc/a": b"1" * 3_000_000, "etc/empty": b""}), layer("upper")
    sandbox.edit(
        Tree((lower,), upper),
        [MakeSymlink("link", "/etc/a"), MakeSymlink("out", "/../../../etc/hostname"), MakeSymlink("loop", "loop")],
    )
    found = sandbox.read(Tree((lower,), upper), ["/link", "etc/empty", "etc", "loop", "none", "out"])
    assert found == {"/link": b"1" * 3_000_000, "etc/empty": b""}


def test_reading_what_is_too_large_is_an_error(sh: Sh, sandbox: Sandbox, layer: MakeLayer) -> None:
    path = layer("tree")
    assert sh(f"truncate -s {READ_LIMIT + 1} /big", upper=path).status == 0
    with pytest.raises(StepError) as caught:
        sandbox.read(Tree((path,)), ["big"])
    assert caught.value.reference == "file-too-large"


# --- glob ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("etc/conf.d/*", ["etc/conf.d/.hidden", "etc/conf.d/a.conf", "etc/conf.d/sub"]),
        ("/etc/conf.d/*.conf", ["etc/conf.d/a.conf"]),
        ("etc/conf.d/**", ["etc/conf.d/.hidden", "etc/conf.d/a.conf", "etc/conf.d/sub", "etc/conf.d/sub/b.conf"]),
        ("**/*.conf", ["etc/conf.d/a.conf", "etc/conf.d/sub/b.conf"]),
        ("etc/**/b.conf", ["etc/conf.d/sub/b.conf"]),
        ("lib/modules/*", ["lib/modules/6.1"]),
        ("**/6.1", ["usr/lib/modules/6.1"]),
        ("etc/conf.d/[!a]*", ["etc/conf.d/.hidden", "etc/conf.d/sub"]),
        ("etc/conf.d/a.conf/*", []),
        ("etc/none/*", []),
        ("dangling", ["dangling"]),
        ("dangling/*", []),
    ],
)
def test_glob(pattern: str, expected: list[str], sandbox: Sandbox, layer: MakeLayer) -> None:
    files = ("etc/conf.d/a.conf", "etc/conf.d/.hidden", "etc/conf.d/sub/b.conf", "usr/lib/modules/6.1")
    tree = Tree((layer("tree", dict.fromkeys(files, b"1")),), layer("upper"))
    sandbox.edit(tree, [MakeSymlink("lib", "usr/lib"), MakeSymlink("dangling", "nowhere")])
    assert list(sandbox.glob(tree, pattern)) == expected


# --- export, project, survey --------------------------------------------------------------------------------


def test_exported_files_belong_to_the_caller(sh: Sh, sandbox: Sandbox, layer: MakeLayer, place: Path) -> None:
    path = layer("tree")
    script = "head -c 5000000 /dev/zero > /big; chmod 600 /big; chown 33 /big; ln -s big /link; : > /empty"
    assert sh(script, upper=path).status == 0
    sandbox.export(Tree((path,)), {"/link": place / "big", "empty": place / "empty"})
    assert (place / "big").stat().st_size == 5_000_000 and (place / "big").stat().st_uid == os.geteuid()
    assert (place / "empty").stat().st_size == 0
    assert sorted(p.name for p in place.iterdir()) == ["big", "empty", "tree"]


def test_an_export_with_a_missing_file_leaves_nothing(sandbox: Sandbox, layer: MakeLayer, place: Path) -> None:
    path = layer("tree", {"a": b"1"})
    with pytest.raises(StepError) as caught:
        sandbox.export(Tree((path,)), {"a": place / "a", "b": place / "b"})
    assert caught.value.reference == "file-missing" and "b " in caught.value.message
    assert [p.name for p in place.iterdir()] == ["tree"]


def test_a_projection_keeps_what_leads_to_its_files(sh: Sh, sandbox: Sandbox, layer: MakeLayer, place: Path) -> None:
    path, into = layer("tree"), place / "into"
    script = f"""
        mkdir -p /etc/a.d/sub /real/modules; echo 1 > /etc/a.d/x.conf; echo 2 > /etc/a.d/sub/y; echo 3 > /etc/b
        ln /etc/a.d/x.conf /etc/a.d/z.conf; ln -s x.conf /etc/a.d/link; ln -s real /way; echo 4 > /real/modules/m
        chmod 750 /etc; chown 0:7 /etc; chmod 600 /etc/a.d/x.conf; {AGED}"""
    assert sh(script, upper=path).status == 0
    sandbox.project(Tree((path,)), ["etc/a.d", "etc/a.d/**", "way/modules/*", "none/*"], into)
    listing = "find /etc/. /real /way -printf '%p %M %U:%G %n %T@ %l\\n' | grep -v passwd | sort"
    expected = sh(listing, lower=(path,)).output.decode().splitlines()
    expected = [line for line in expected if not line.startswith("/etc/./b ")]
    assert sh(listing, lower=(into,)).output.decode().splitlines() == expected
    assert len(expected) == 11


def test_survey_counts_the_merged_tree(sh: Sh, sandbox: Sandbox, layer: MakeLayer) -> None:
    lower, upper = layer("lower", {"a": b"1234", "b": b"12"}), layer("upper", {"c": b"123"})
    assert sh("ln /c /d; rm /b; truncate -s 1M /sparse; mkdir /dir", lower=(lower,), upper=upper).status == 0
    survey = sandbox.survey(Tree((lower, upper)))
    assert (survey.entries, survey.bytes, survey.xattrs) == (6, 4 + 3 + (1 << 20), ())


# --- listing ------------------------------------------------------------------------------------------------


def test_listing_has_everything_with_its_type_and_the_first_name_of_a_file(
    sh: Sh, sandbox: Sandbox, layer: MakeLayer
) -> None:
    lower, upper = layer("lower", {"/d/f": b"1", "/gone": b"2"}), layer("upper")
    script = (
        r"rm /gone; ln /d/f /a; ln /d/f /d/g; ln -s f /d/l; mkfifo /d/p; : > '/d/odd \n x'; : > /d/$(printf '\303\050')"
    )
    assert sh(script, lower=(lower,), upper=upper).status == 0
    entries = sandbox.listing(Tree((lower, upper)))
    found = {entry.path: (entry.type, entry.first) for entry in entries}
    assert found == {
        "": (stat.S_IFDIR, ""),
        "a": (stat.S_IFREG, "a"),
        "d": (stat.S_IFDIR, "d"),
        "d/f": (stat.S_IFREG, "a"),
        "d/g": (stat.S_IFREG, "a"),
        "d/l": (stat.S_IFLNK, "d/l"),
        "d/odd \\n x": (stat.S_IFREG, "d/odd \\n x"),
        "d/p": (stat.S_IFIFO, "d/p"),
        "d/\udcc3(": (stat.S_IFREG, "d/\udcc3("),
    }
    assert [entry.path for entry in entries] == sorted(found, key=os.fsencode)

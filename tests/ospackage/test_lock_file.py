"""A lock is read back as it was written, and what nobody can have written is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from os_image_composer.errors import MetadataError
from os_image_composer.ospackage.lock import (
    AskedGroup,
    Lock,
    LockedPackage,
    LockedRepository,
    PackageSet,
    Transaction,
)
from os_image_composer.ospackage.lock_file import LockFile, parse_lock, read_lock
from os_image_composer.ospackage.lock_text import dump_lock, sealed, text_of

PACKAGE = LockedPackage(
    "libc6", "1:2.36-9+deb12u1~x", "amd64", "debian/bookworm", "pool/main/g/glibc/libc6_2.36_amd64.deb", 2757000,
    "ab" * 32, 12 << 20, True, "glibc 2.36", ("libgcc-s1",),
)  # fmt: skip
NEEDED = LockedPackage(
    "libgcc-s1", "12.2.0-14", "amd64", "debian/bookworm", "pool/main/g/gcc/libgcc-s1_12.2.0-14_amd64.deb", 49900,
    "ac" * 32, 1 << 17, False, "gcc-12 12.2.0-14", (),
)  # fmt: skip
REPOSITORY = LockedRepository(
    "debian/bookworm", "https://mirror.example/debian", "bookworm", 1700000000, None, "cd" * 32, ("ef" * 20,),
    "deb", ("main",), 500,
)  # fmt: skip
LOCK = Lock(
    "debian", "debian12", "x86_64", "8f8a2f51-54d1-4cf5-9ec5-6c8f6a0c3f0e", 1700000000, (REPOSITORY,),
    {
        "image": PackageSet(
            (Transaction("default, my image", (PACKAGE, NEEDED)),), (AskedGroup("default", {"libc": "libc6"}),)
        ),
        "image-tools": PackageSet(()),
    },
)  # fmt: skip


def changed(change: Callable[[dict[str, Any]], object]) -> str:
    """The lock as somebody wrote it who knows how seals are made."""
    data: dict[str, Any] = json.loads(dump_lock(LOCK))
    change(data)
    return text_of(resealed(data))


def resealed(data: dict[str, Any]) -> dict[str, Any]:
    for name in data["sets"] if isinstance(data.get("sets"), dict) else ():
        for transaction in data["sets"][name]["transactions"]:
            transaction["packages"] = [sealed(package) for package in transaction["packages"]]
    return sealed({**data, "repositories": [sealed(repository) for repository in data["repositories"]]})


def in_package(**values: object) -> str:
    return changed(lambda d: d["sets"]["image"]["transactions"][0]["packages"][0].update(values))


def in_repository(**values: object) -> str:
    return changed(lambda d: d["repositories"][0].update(values))


def refused(text: str) -> MetadataError:
    with pytest.raises(MetadataError) as caught:
        parse_lock(text, "a.lock")
    assert caught.value.reference == "bad-lock"
    assert caught.value.message == "a.lock cannot be used"
    return caught.value


def test_lock_is_read_back_as_it_was_written() -> None:
    assert parse_lock(dump_lock(LOCK)) == LOCK


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("name", ["../x", "a/b", "-o", "", "a b", 5, None, "a" * 400, "a\n"]),
        ("version", ["1 2", "../1", "", "-1", 1.0, "1\u0660"]),
        ("arch", ["amd64;", "", "AMD", ["amd64"]]),
        ("repository", ["debian/sid", "", None]),
        ("path", ["/etc/passwd", "pool/../../x", "..", "a b", "pool/\u00e9", "", 1]),
        ("size", [-1, 1.5, True, "12", None, 1 << 50]),
        ("sha256", ["ab" * 31, "AB" * 32, "zz" * 32, "", None]),
        ("installedSize", [-1, False]),
        ("essential", [0, "yes", None]),
        ("source", ["a\nb", "a\x1b[31m", None]),
        ("depends", ["libc6", [1], ["../x"], None]),
    ],
)
def test_package_that_nobody_can_have_locked_is_refused_in_its_place(field: str, values: list[object]) -> None:
    for value in values:
        error = refused(in_package(**{field: value}))
        assert field in str(error.cause) or "repository" in str(error.cause)


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("name", ["../x", "", 1]),
        ("url", ["ftp://x/", "https://me:hunter2@x/", "/etc", "https://", 1, "https://x/?a"]),
        ("suite", ["../x", "a b", "/x"]),
        ("date", [-1, "now", None, "2026-1-1T00:00:00Z", 1700000000, "2026-02-30T00:00:00Z"]),
        ("validUntil", [-1, "never"]),
        ("metadataSha256", ["ab"]),
        ("signers", ["ef", ["xyz"], [None]]),
        ("family", ["../x", None]),
        ("components", ["main", ["../x"]]),
        ("priority", ["500", 1.0, True, 1 << 20]),
    ],
)
def test_repository_that_nobody_can_have_locked_is_refused(field: str, values: list[object]) -> None:
    for value in values:
        error = refused(in_repository(**{field: value}))
        assert "hunter2" not in str(error)


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.pop("seed"),
        lambda d: d.update(seed="1234"),
        lambda d: d.update(os="../debian"),
        lambda d: d.update(more=1),
        lambda d: d.update(sets=[]),
        lambda d: d["sets"].update({"../x": {"transactions": []}}),
        lambda d: d["sets"]["image"]["transactions"].append(d["sets"]["image"]["transactions"][0]),
        lambda d: d["sets"]["image"]["transactions"][0]["packages"][0].update(run="sh"),
        lambda d: d["sets"]["image"]["transactions"][0]["packages"][0].pop("sha256"),
        lambda d: d["sets"]["image"]["asked"][0]["packages"].update(more=1),
        lambda d: d["sets"]["image"].update(roots=["absent"]),
        lambda d: d["sets"]["image"].update(weakDependencies="no"),
    ],
)
def test_lock_that_is_not_whole_is_refused(change: Callable[[dict[str, Any]], object]) -> None:
    refused(changed(change))


NO_LOCKS = ["", "[]", "{", "null", '{"a":1,"a":2}', "[" * 100_000, '{"lockVersion": NaN}', "1" * 9999]


@pytest.mark.parametrize("text", NO_LOCKS)
def test_what_is_no_lock_at_all_is_refused(text: str) -> None:
    refused(text)


def test_lock_of_another_version_says_so() -> None:
    with pytest.raises(MetadataError) as caught:
        parse_lock(changed(lambda d: d.update(lockVersion=99)))
    assert caught.value.reference == "lock-version"


def test_further_mirrors_come_after_the_one_that_was_locked() -> None:
    mirrors = {"debian": ("https://other.example/debian/", "https://mirror.example/debian"), "x": ("https://no/",)}
    assert LOCK.urls(PACKAGE, mirrors) == (
        f"https://mirror.example/debian/{PACKAGE.path}",
        f"https://other.example/debian/{PACKAGE.path}",
    )


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_whatever_stands_in_place_of_a_value_is_read_or_refused(data: st.DataObject) -> None:
    """And what is read is written as the same text again."""
    junk = st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
        max_leaves=5,
    )
    value: Any = json.loads(dump_lock(LOCK))
    node, key = value, data.draw(st.sampled_from(sorted(value)))
    while isinstance(node[key], dict | list) and node[key] and data.draw(st.booleans()):
        node = node[key]
        key = data.draw(st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node))))
    node[key] = data.draw(junk)
    try:
        lock = parse_lock(json.dumps(value))
    except MetadataError:
        return
    assert parse_lock(dump_lock(lock)) == lock


# -- what happens to files by accident, and where ----------------------------------------------------------------


def written(tmp_path: Path, text: str) -> MetadataError:
    """What reading such a file says."""
    file = tmp_path / "a.yml.lock"
    file.write_text(text)
    with pytest.raises(MetadataError) as caught:
        read_lock(file)
    assert caught.value.origin is not None and caught.value.origin.file == str(file)
    return caught.value


def line_with(text: str, part: str) -> int:
    return next(number for number, line in enumerate(text.split("\n"), 1) if part in line)


def test_every_place_has_its_line(tmp_path: Path) -> None:
    file = tmp_path / "a.lock"
    text = dump_lock(LOCK)
    file.write_text(text)
    read = read_lock(file)
    assert read == LockFile(file, LOCK, read.data)
    for key, value in (("sha256", NEEDED.sha256), ("path", NEEDED.path), ("version", '"12.2.0-14"')):
        origin = read.package_origin(NEEDED.sha256, key)
        assert origin is not None and value in text.split("\n")[origin.line - 1]
    assert read.repository_origin("debian/bookworm", "signers").line == line_with(text, '"signers"')


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (f'"sha256": "{"ab" * 32}"', f'"sha256": "{"ab" * 31}aa"'),
        ("pool/main/g/gcc/", "pool/main/g/other/"),
        ("https://mirror.example/debian", "https://other.example/debian"),
        ("ef" * 20, "fe" * 20),
        ('"version": "12.2.0-14"', '"version": "12.2.0-15"'),
        ('"seed": "8f8a2f51', '"seed": "8f8a2f52'),
        ('"sourceDateEpoch": 1700000000', '"sourceDateEpoch": 1700000001'),
        ('"priority": 500', '"priority": 501'),
        ('"weakDependencies": false', '"weakDependencies": true'),
    ],
)
def test_edited_lock_is_refused_with_a_line_near_the_edit(tmp_path: Path, before: str, after: str) -> None:
    text = dump_lock(LOCK)
    assert before in text
    edited = text.replace(before, after, 1)
    error = written(tmp_path, edited)
    assert (error.reference, "seal" in str(error.cause)) == ("bad-lock", True)
    # The seal stands in the same entry: no further away than an entry is long, or at the end for what has none.
    assert error.origin is not None
    assert '"seal"' in edited.split("\n")[error.origin.line - 1]


def test_package_too_many_is_refused_with_its_line(tmp_path: Path) -> None:
    stray = {**json.loads(dump_lock(LOCK))["sets"]["image"]["transactions"][0]["packages"][1], "name": "stray"}
    text = changed(lambda d: d["sets"]["image"]["transactions"][0]["packages"].append(stray))
    error = written(tmp_path, text)
    assert "nothing asks for stray" in str(error.cause)
    assert error.origin is not None and error.origin.line == line_with(text, '"name": "stray"')


def test_package_too_few_is_refused_with_the_line_that_needs_it(tmp_path: Path) -> None:
    text = changed(lambda d: d["sets"]["image"]["transactions"][0]["packages"].pop(1))
    error = written(tmp_path, text)
    assert "libgcc-s1, which libc6 needs, is missing" in str(error.cause)
    assert error.origin is not None and error.origin.line == line_with(text, '"depends": [')


def test_package_that_a_template_asks_for_and_is_gone_is_refused(tmp_path: Path) -> None:
    error = written(tmp_path, changed(lambda d: d["sets"]["image"].update(transactions=[])))
    assert "libc6, which is to meet the request for libc, is missing" in str(error.cause)


def test_lock_that_a_formatter_went_over_is_refused_with_the_first_line_that_differs(tmp_path: Path) -> None:
    error = written(tmp_path, json.dumps(json.loads(dump_lock(LOCK)), indent=2, sort_keys=True) + "\n")
    assert (error.origin and error.origin.line, "formatted" in str(error.cause)) == (2, True)


def test_conflict_markers_of_a_merge_are_refused_with_their_line(tmp_path: Path) -> None:
    lines = dump_lock(LOCK).split("\n")
    error = written(tmp_path, "\n".join([*lines[:5], "<<<<<<< HEAD", *lines[5:]]))
    assert error.origin is not None and error.origin.line == 6


def test_repository_twice_named_is_refused(tmp_path: Path) -> None:
    error = written(tmp_path, changed(lambda d: d["repositories"].append(d["repositories"][0])))
    assert "is there twice" in str(error.cause)


def test_place_of_a_name_with_dots_has_its_line(tmp_path: Path) -> None:
    text = changed(lambda d: d["sets"]["image"]["asked"][0]["packages"].update({"python3.11": "libc6"}))
    file = tmp_path / "a.lock"
    file.write_text(text)
    place = ("sets", "image", "asked", 0, "packages", "python3.11")
    assert read_lock(file).origin(place).line == line_with(text, "python3.11")


def test_text_that_is_no_unicode_is_refused(tmp_path: Path) -> None:
    data = json.loads(dump_lock(LOCK))
    data["sets"]["image"]["transactions"][0]["packages"][0]["source"] = "\ud800"
    error = written(tmp_path, json.dumps(data, indent=1, sort_keys=True) + "\n")
    assert error.reference == "bad-lock"

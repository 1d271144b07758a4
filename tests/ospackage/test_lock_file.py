"""A lock is read back as it was written, and what nobody can have written is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from os_image_composer.errors import MetadataError
from os_image_composer.ospackage.lock import Lock, LockedPackage, LockedRepository, PackageSet, Transaction, dump_lock
from os_image_composer.ospackage.lock_file import parse_lock

PACKAGE = LockedPackage(
    "libc6", "1:2.36-9+deb12u1~x", "amd64", "debian/bookworm", "pool/main/g/glibc/libc6_2.36_amd64.deb", 2757000,
    "ab" * 32, 12 << 20, True, "glibc 2.36", ("libgcc-s1",),
)  # fmt: skip
REPOSITORY = LockedRepository(
    "debian/bookworm", "https://mirror.example/debian", "bookworm", 1700000000, None, "cd" * 32, ("ef" * 20,)
)
LOCK = Lock(
    "debian", "debian12", "x86_64", "8f8a2f51-54d1-4cf5-9ec5-6c8f6a0c3f0e", 1700000000, (REPOSITORY,),
    {"image": PackageSet((Transaction("default, my image", (PACKAGE,)),)), "image-tools": PackageSet(())},
)  # fmt: skip


def changed(change: Callable[[dict[str, Any]], object]) -> str:
    data: dict[str, Any] = json.loads(dump_lock(LOCK))
    change(data)
    return json.dumps(data)


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
        ("installed_size", [-1, False]),
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
        ("date", [-1, "now", None]),
        ("valid_until", [-1, "never"]),
        ("metadata_sha256", ["ab"]),
        ("signers", ["ef", ["xyz"], [None]]),
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

"""Parsers of what somebody else wrote end in a result or in a documented error, whatever they are given.

scripts/fuzz does the same for longer and guided by coverage; what it found is among the examples here.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from os_image_composer.errors import TrustError
from os_image_composer.ospackage.deb.version import version_key
from support.fuzz_targets import Workplace, harmless, targets

NAMES = (
    "archive", "bundle", "credentials", "inrelease", "keyring", "labels", "lock", "manifest", "medium", "members",
    "packages", "paragraph", "pe", "relations", "release", "repomd", "rpm", "rpmdb", "settings", "signatures", "size",
    "sources", "template", "tools", "uefi-keys", "verity", "version", "virtual-disk", "volume",
)  # fmt: skip
# The input of each fault that fuzzing or a review found.
FOUND = {
    "volume": [b"verity\0\0" + bytes(4)],
    "version": ["²:1\n1".encode(), b"9" * 5000 + b"\n1"],
    "release": [
        b"Date: Sat, 18 Nov 2023 00:00:00 UTC\nSHA256:\n " + b"ab" * 32 + b" " + b"9" * 5000 + b" x\n",
        b"Date: Tue, 28 Nov 2" + b"2" * 60 + b" 22:13:20 GMT\nSHA256:\n",
    ],
    "packages": [b"Package: a\nVersion: 1\nFilename: a\nSHA256: " + b"ab" * 32 + b"\nSize: -1\n"],
}


@pytest.fixture(scope="module")
def work() -> Iterator[Workplace]:
    yield Workplace()


def test_every_target_is_tried(work: Workplace) -> None:
    assert tuple(sorted(targets(work))) == NAMES


@pytest.mark.parametrize("name", sorted(FOUND))
def test_what_was_a_fault_once_is_none(work: Workplace, name: str) -> None:
    target = targets(work)[name]
    for data in FOUND[name]:
        harmless(target, data)


@pytest.mark.parametrize("name", NAMES)
def test_samples_and_what_becomes_of_them_do_no_harm(work: Workplace, name: str) -> None:
    target = targets(work)[name]
    for seed in target.seeds:
        target.run(seed)  # a sample is right: nothing is raised

    @settings(max_examples=20, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def mutated(data: st.DataObject) -> None:
        seed = bytearray(data.draw(st.sampled_from(target.seeds)))
        for _ in range(data.draw(st.integers(1, 4))):
            at = data.draw(st.integers(0, len(seed)))
            to = min(len(seed), at + data.draw(st.integers(0, 16)))
            seed[at:to] = data.draw(st.binary(max_size=8) | st.just(bytes(seed[: to - at])))
        harmless(target, bytes(seed))

    mutated()


@given(st.text("0123456789.+~-:ab", max_size=12), st.text("0123456789.+~-:ab", max_size=12))
@settings(max_examples=50, deadline=None, database=None)
def test_versions_have_one_order(one: str, other: str) -> None:
    left, right = version_key(one), version_key(other)
    assert (left < right) + (left == right) + (left > right) == 1
    assert version_key(f"0:{one}") == left or ":" in one


def test_pinned_key_that_never_signed_itself_is_refused(work: Workplace) -> None:
    whole = bytes(work.key.certificate)
    target = targets(work)["keyring"]
    with pytest.raises(TrustError) as caught:
        target.run(whole[: 2 + whole[1]])  # the key packet alone
    assert caught.value.reference == "key-unreadable"


def test_long_numbers_in_versions_order_as_numbers() -> None:
    assert version_key("1." + "9" * 5000) < version_key("1.1" + "0" * 5000)
    assert version_key("1.010") == version_key("1.10") > version_key("1.9")

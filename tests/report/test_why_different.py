"""The likely reason why two builds gave a file other bytes."""

from __future__ import annotations

import os
import struct
import uuid

import pytest

from os_image_composer.report.why_different import Made, likely_reason

# 2026-11-27, 10:00 and 12:00 UTC.
ONE = Made(1_795_773_600, 1_795_773_660, (("/home/ann/images", "a folder of the build"), ("forge", "the host's name")))
OTHER = Made(1_795_780_800, 1_795_780_860, (("/srv/other", "a folder of the build"),))


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (b"built 1795773610\n", b"built 1795780810\n"),
        (b"built 1795773610123456789\n", b"built 1795780810123456789\n"),
        (b"# made on Fri Nov 27 10:00:10 UTC 2026\n", b"# made on Fri Nov 27 12:00:10 UTC 2026\n"),
        (b"date=2026-11-27\nx\n", b"date=2026-11-28\nx\n"),
        (
            b"head\0" + struct.pack("<I", 1_795_773_610) + b"tail\0",
            b"head\0" + struct.pack("<I", 1_795_780_810) + b"tail\0",
        ),
        (b"\0" + struct.pack(">Q", 1_795_773_610 * 10**9), b"\0" + struct.pack(">Q", 1_795_780_810 * 10**9)),
    ],
)
def test_time_of_the_build_is_recognised(a: bytes, b: bytes) -> None:
    assert likely_reason(a, b, ONE, OTHER).startswith("the time of the build")


def test_nanoseconds_are_a_part_of_the_time_or_random() -> None:
    assert "such as nanoseconds" in likely_reason(b"482910482\n", b"018264411\n", ONE, OTHER)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (b"\x93\x10\xfe\x88\x12\xd0\x01\x7f", b"\x02\xcc\x90\x31\xaa\x5f\xe2\x66"),
        (b"head\0" + bytes(range(100, 132)) + bytes(4096), b"head\0" + bytes(range(200, 232)) + bytes(4096)),
        (f"id={uuid.uuid4()}\n".encode(), f"id={uuid.uuid4()}\n".encode()),
        (f"key {os.urandom(16).hex()}\n".encode(), f"key {os.urandom(16).hex()}\n".encode()),
    ],
    ids=["bytes", "a block", "uuid", "digits"],
)
def test_random_values_are_recognised(a: bytes, b: bytes) -> None:
    assert "look random" in likely_reason(a, b, ONE, OTHER)


def test_order_of_lines_is_recognised() -> None:
    assert "another order" in likely_reason(b"c\na\nb\n", b"a\nb\nc\n", ONE, OTHER)


@pytest.mark.parametrize(
    ("a", "said"),
    [
        (b"prefix=/home/ann/images/tmp/x\n", "it holds a folder of the build, /home/ann/images"),
        (b"\0\x01built on forge\0", "it holds the host's name, forge"),
    ],
)
def test_words_of_the_surroundings_are_named(a: bytes, said: str) -> None:
    assert likely_reason(a, b"something else\n", ONE, OTHER) == said


@pytest.mark.parametrize(
    ("a", "b", "said"),
    [
        (b"jobs=2\n", b"jobs=16\n", "a number: a counter"),
        (b"a\n", b"a\nb\n", "there are other lines"),
        (b"\0ab", b"\0abc", "the sizes differ: 3 and 4 bytes"),
        (b"\0" * 40 + b"\x01" + b"\0" * 40, b"\0" * 81, "1 of 81 bytes differ, the first at 40"),
    ],
)
def test_what_is_left_is_described(a: bytes, b: bytes, said: str) -> None:
    assert likely_reason(a, b, ONE, OTHER).startswith(said)


def test_reason_repeats_nothing_of_a_secret() -> None:
    secret, other = b"root:$y$j9T$hunter2hunter2\n", b"root:$y$j9T$swordfish99999\n"
    reason = likely_reason(secret, other, ONE, OTHER)
    assert "hunter2" not in reason and "swordfish" not in reason

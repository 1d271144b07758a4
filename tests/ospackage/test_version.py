"""The order of version strings is dpkg's."""

from __future__ import annotations

import itertools
import random
import subprocess

import pytest

from os_image_composer.ospackage.deb.version import is_version, satisfies, version_key

TRICKY = [
    "0", "0-0", "0:0", "1.0", "1.0-0", "0:1.0", "1.0-1", "1:0.1", "1.0~rc1", "1.0~rc1-1", "1.0~~", "1.0~~a", "1.0~",
    "1.0a", "1.0+b1", "1.0.", "1.0-1~bpo13+1", "1.0-1+deb13u1", "1.0-1.1", "1.00", "1.010", "1.0a~", "1a", "1.a",
    "1.2-3-4", "2.0", "10.0", "9", "1.0-a", "1.0-~", "1.0+dfsg-1", "1.0+dfsg1-1", "2024.01.01", "1.0A", "1.0Z",
]  # fmt: skip


def test_order_is_that_of_dpkg_for_every_tricky_pair() -> None:
    pairs = list(itertools.combinations(TRICKY, 2))
    pairs = random.Random(13).sample(pairs, 200)
    script = "".join(
        f"dpkg --compare-versions '{a}' lt '{b}' && echo '<' || "
        f"{{ dpkg --compare-versions '{a}' eq '{b}' && echo = || echo '>'; }}\n"
        for a, b in pairs
    )
    answers = subprocess.run(["sh"], input=script, capture_output=True, text=True, check=True).stdout.split()
    ours = []
    for a, b in pairs:
        left, right = version_key(a), version_key(b)
        ours.append("=" if left == right else "<" if left < right else ">")
    assert dict(zip(pairs, ours, strict=True)) == dict(zip(pairs, answers, strict=True))


@pytest.mark.parametrize(
    ("version", "operator", "wanted", "holds"),
    [
        ("1.0", ">=", "1.0-0", True),
        ("1.0", ">>", "1.0-0", False),
        ("1.0~rc1", "<<", "1.0", True),
        ("1.0", "<=", "0.9", False),
        ("1:0.1", "=", "0.1", False),
    ],
)
def test_operators_compare_as_policy_says(version: str, operator: str, wanted: str, holds: bool) -> None:
    assert satisfies(version_key(version), operator, version_key(wanted)) is holds


def test_text_with_blanks_is_no_version() -> None:
    assert is_version("1:2.0~rc1-1+b2")
    assert not is_version("1.0 beta")

"""scripts/prove-vendor, end to end: against a look-alike, which its page must not take for the vendor."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from support.workshop import CHECKOUT, Workshop

pytestmark = [pytest.mark.build, pytest.mark.boot, pytest.mark.matrix, pytest.mark.timeout(1800)]


@pytest.mark.parametrize("dist", ["azl3", "emt3", "elxr12"])
def test_page_says_what_was_proven_and_of_whom(
    dist: str, workshop: Workshop, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    settings = request.getfixturevalue("elxr").settings if dist == "elxr12" else request.getfixturevalue("rpm_settings")
    script = CHECKOUT / "scripts" / "prove-vendor"
    flags = ("--config", settings, "--cache-dir", workshop.cache, "--output", tmp_path / "proofs")
    done = subprocess.run(
        [sys.executable, str(script), dist, *map(str, flags)],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "says nothing about the vendor's own address" in done.stdout
    (page,) = (tmp_path / "proofs").glob(f"{dist}-x86_64-*.md")
    rows = dict(re.findall(r"^\| ([^|]+) \| (.+) \|$", page.read_text(), re.MULTILINE))
    assert rows["the vendor's own address"] == "no"
    assert rows["verdict"] == "passed"
    (repository,) = (value for name, value in rows.items() if name.startswith("repository "))
    assert repository.startswith("http://127.0.0.1:")
    assert re.search(r"signed by [0-9A-F]{40}$", repository)

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]

Composer = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """An environment in which no file of the user counts."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "PYTHONPATH": str(CHECKOUT / "src"),
        "LC_ALL": "C.UTF-8",
        "COLUMNS": "80",
    }


@pytest.fixture
def composer(tmp_path: Path, environment: dict[str, str]) -> Composer:
    """The command, run in an empty folder."""

    def run(*words: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "os_image_composer", *map(str, words)],
            cwd=tmp_path,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run


@pytest.fixture
def sample() -> Path:
    return CHECKOUT / "image-templates" / "debian13-x86_64-minimal-raw.yml"

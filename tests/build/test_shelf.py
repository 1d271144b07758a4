"""Images as files: copied with their holes, also from one filesystem to another."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from os_image_composer.build.canonical import sha256_file
from os_image_composer.build.shelf import copy_sparse

MIB = 1 << 20


@pytest.fixture
def sparse(tmp_path: Path) -> Path:
    """64 MiB with two small pieces of data and a hole at either end."""
    path = tmp_path / "sparse"
    with path.open("wb") as stream:
        stream.truncate(64 * MIB)
        for offset, data in ((5 * MIB + 3, b"first"), (40 * MIB, b"second" * 1000)):
            stream.seek(offset)
            stream.write(data)
    return path


@pytest.mark.parametrize("elsewhere", [False, True], ids=["same filesystem", "another filesystem"])
def test_copy_has_the_same_bytes_and_holes(sparse: Path, tmp_path: Path, elsewhere: bool) -> None:
    target = Path("/dev/shm", f"oic-{os.getpid()}") if elsewhere else tmp_path / "copy"
    try:
        copy_sparse(sparse, target)
        assert target.read_bytes() == sparse.read_bytes()
        assert target.stat().st_blocks * 512 < 2 * MIB
        assert target.stat().st_mode & 0o777 == 0o600
        assert (target.stat().st_dev != sparse.stat().st_dev) is elsewhere
    finally:
        target.unlink(missing_ok=True)


def test_copy_of_a_script_that_is_published_can_be_run_too(tmp_path: Path) -> None:
    for name, mode, expected in (("start.sh", 0o755, 0o700), ("image", 0o644, 0o600)):
        source, target = tmp_path / name, tmp_path / f"copied-{name}"
        source.write_text("#!/bin/sh\n")
        source.chmod(mode)
        copy_sparse(source, target)
        assert target.stat().st_mode & 0o777 == expected


def test_digest_counts_holes_as_zeros(sparse: Path) -> None:
    assert sha256_file(sparse) == hashlib.sha256(sparse.read_bytes()).hexdigest()


@pytest.mark.parametrize("size", [0, 1, MIB, MIB + 1])
def test_digest_of_a_file_without_holes_or_without_data(tmp_path: Path, size: int) -> None:
    (tmp_path / "data").write_bytes(b"x" * size)
    assert sha256_file(tmp_path / "data") == hashlib.sha256(b"x" * size).hexdigest()
    with (tmp_path / "hole").open("wb") as stream:
        stream.truncate(size)
    assert sha256_file(tmp_path / "hole") == hashlib.sha256(bytes(size)).hexdigest()

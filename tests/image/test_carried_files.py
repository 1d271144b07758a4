"""What a medium carries is copied as it was when the plan was made, or nothing is."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from os_image_composer.errors import StepError
from os_image_composer.image.carried_files import CarriedFile, copy_carried

CONTENT = b"a system" * 4096


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "system.raw"
    path.write_bytes(CONTENT)
    path.chmod(0o600)
    return path


def carried(content: bytes) -> CarriedFile:
    return CarriedFile("target.raw", hashlib.sha256(content).hexdigest())


def test_the_copy_is_the_file_for_every_reader(image: Path, tmp_path: Path) -> None:
    file = carried(CONTENT)
    copies = copy_carried([file], {file.sha256: image}, tmp_path / "carried")
    assert list(copies) == ["target.raw"]
    assert copies["target.raw"].read_bytes() == CONTENT
    assert copies["target.raw"].stat().st_mode & 0o777 == 0o644
    assert (tmp_path / "carried").stat().st_mode & 0o055 == 0o055


def test_a_file_that_changed_since_is_refused(image: Path, tmp_path: Path) -> None:
    file = carried(CONTENT)
    image.write_bytes(CONTENT[:-1] + b"X")
    with pytest.raises(StepError) as caught:
        copy_carried([file], {file.sha256: image}, tmp_path / "carried")
    assert caught.value.reference == "additional-file-changed"
    assert str(image) in caught.value.message

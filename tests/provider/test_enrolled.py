"""Keys to enrol that lie beside an image from an earlier build."""

from __future__ import annotations

from pathlib import Path

from os_image_composer.provider.enrolled import remove_enrolment
from os_image_composer.signing.enrolment import enrolment
from support.boot_keys import KeyFolder


def left(folder: Path, keys: KeyFolder) -> Path:
    """What a build with keys leaves for an image `a-1.0`."""
    own = folder / "a-1.0.secure-boot"
    own.mkdir()
    for name, content in enrolment(keys.platform(), 0).items():
        (own / name).write_bytes(content)
    return own


def test_keys_of_an_earlier_build_go_with_their_folder(tmp_path: Path, keys: KeyFolder) -> None:
    left(tmp_path, keys)
    remove_enrolment(tmp_path, "a-1.0")
    assert list(tmp_path.iterdir()) == []


def test_files_of_the_user_beside_the_keys_stay(tmp_path: Path, keys: KeyFolder) -> None:
    own = left(tmp_path, keys)
    (own / "notes.txt").write_text("mine")
    remove_enrolment(tmp_path, "a-1.0")
    assert [path.name for path in own.iterdir()] == ["notes.txt"]


def test_keys_of_another_image_and_none_at_all_are_left_alone(tmp_path: Path, keys: KeyFolder) -> None:
    own = left(tmp_path, keys)
    remove_enrolment(tmp_path, "b-1.0")
    assert len(list(own.iterdir())) == 9


def test_folder_of_the_user_with_that_name_as_a_file_stays(tmp_path: Path) -> None:
    file = tmp_path / "a-1.0.secure-boot"
    file.write_text("mine")
    remove_enrolment(tmp_path, "a-1.0")
    assert file.read_text() == "mine"

"""A folder among additionalFiles: every file in it, and nothing that cannot be copied as it is."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from os_image_composer.config.folders import MAX_FILES
from os_image_composer.config.load import check_template, load_image_spec
from os_image_composer.config.spec import AdditionalFile
from os_image_composer.errors import Finding

Marked = Callable[[str], Finding]
Write = Callable[..., Path]
HEAD = """\
image: {name: test, version: "1.0"}
target: {os: debian, dist: debian13, arch: x86_64, imageType: raw}
systemConfig:
"""


def listed(*items: str) -> str:
    return HEAD + "  additionalFiles:\n" + "".join(f"    - {{{item}}}\n" for item in items)


@pytest.fixture
def placed(write: Write, data: Path, tmp_path: Path) -> Callable[..., dict[str, AdditionalFile]]:
    def files(*items: str) -> dict[str, AdditionalFile]:
        spec = load_image_spec(write(listed(*items)), data)
        return {file.final: file for file in spec.additional_files if file.local.is_relative_to(tmp_path)}

    return files


def test_every_file_of_the_folder_goes_to_its_place(
    placed: Callable[..., dict[str, AdditionalFile]], write: Write
) -> None:
    for name in ("tree/etc/app.conf", "tree/etc/app.d/one", "tree/usr/local/bin/app"):
        write(name, name)
    found = placed("local: tree, final: /, owner: app")
    assert list(found) == ["/etc/app.conf", "/etc/app.d/one", "/usr/local/bin/app"]
    assert {(file.owner, file.mode, file.folder) for file in found.values()} == {("app", None, "/")}


def test_a_later_item_counts_where_two_place_one_file(
    placed: Callable[..., dict[str, AdditionalFile]], write: Write
) -> None:
    for name in ("tree/a", "tree/b", "secret"):
        write(name, name)
    found = placed("local: tree, final: /etc/app", "local: secret, final: /etc/app/b, mode: '0600'")
    assert [(f.local.name, f.mode) for f in found.values()] == [("a", None), ("secret", 0o600)]
    found = placed("local: secret, final: /etc/app/b, mode: '0600'", "local: tree, final: /etc/app")
    assert [(f.local.name, f.mode) for f in found.values()] == [("a", None), ("b", None)]


def test_places_in_the_template_stay_those_of_the_items(write: Write, data: Path) -> None:
    for name in ("tree/a", "tree/b", "file"):
        write(name, name)
    path = write(listed("local: tree, final: /etc/app", "local: file, final: /etc/file, owner: ada"))
    spec = load_image_spec(path, data)
    last = len(spec.additional_files) - 1
    assert str(spec.origin(f"systemConfig.additionalFiles[{last}].owner")) == f"{path}:6:46"
    assert str(spec.origin(f"systemConfig.additionalFiles[{last - 1}].owner")) == f"{path}:5:7"


@pytest.mark.parametrize(
    ("make", "reference", "said"),
    [
        (lambda tree: (tree / "link").symlink_to("/etc/passwd"), "not-a-file", "a symbolic link"),
        (lambda tree: (tree / "link").symlink_to(tree), "not-a-file", "a symbolic link"),
        (lambda tree: os.mkfifo(tree / "pipe"), "not-a-file", "neither a file nor a folder"),
        (lambda tree: (tree / "empty").mkdir(), "empty-folder", "empty"),
        (lambda tree: (tree / os.fsdecode(b"\xff")).write_text("x"), "wrong-value", "not UTF-8"),
        (lambda tree: (tree / "line\nbreak").write_text("x"), "wrong-value", "line breaks"),
    ],
)
def test_what_a_folder_cannot_hold(
    marked: Marked, write: Write, tmp_path: Path, make: Callable[[Path], object], reference: str, said: str
) -> None:
    write("x", "tree/good")
    make(tmp_path / "tree")
    finding = marked(listed("local: ▸tree, final: /etc/app"))
    assert finding.reference == reference
    assert said in finding.message


def test_an_empty_folder_is_told(marked: Marked, tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    assert marked(listed("local: ▸tree, final: /etc/app")).reference == "empty-folder"


def test_a_folder_beyond_all_is_told(
    marked: Marked, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert MAX_FILES == 10_000
    monkeypatch.setattr("os_image_composer.config.folders.MAX_FILES", 3)
    for name in "abcd":
        write("x", f"tree/{name}")
    assert marked(listed("local: ▸tree, final: /etc/app")).reference == "too-many-files"


def test_files_whose_place_no_machine_would_show_are_found_in_folders_too(marked: Marked, write: Write) -> None:
    write("x", "tree/run/app/socket")
    assert "would never be seen" in marked(listed("local: ▸tree, final: /")).message


@pytest.mark.parametrize(
    "item",
    ["local: tree, final: /etc/app, mode: ▸'0640'", "local: tree/file, final: ▸/", "local: ▸gone, final: /etc/x"],
)
def test_a_folder_has_no_mode_and_a_file_a_name(marked: Marked, write: Write, item: str) -> None:
    write("x", "tree/file")
    assert marked(listed(item)).reference in ("wrong-value", "no-such-file")


def test_a_folder_that_cannot_be_read_is_told(write: Write, data: Path, tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root reads everything")
    write("x", "tree/file")
    (tmp_path / "tree").chmod(0)
    (finding,) = check_template(write(listed("local: tree, final: /etc/app")), data)
    (tmp_path / "tree").chmod(0o755)
    assert finding.reference == "no-such-file"

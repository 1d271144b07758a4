"""What `inspect` says of a small image made by everybody's tools."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import mmap
import os
import random
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from os_image_composer.cli.main import run
from os_image_composer.errors import ImageError
from os_image_composer.report.inspect import extract_sboms, inspect_image
from os_image_composer.report.text import image_lines
from os_image_composer.report.value import image_value
from support.small_images import MIB, made
from support.virtual_disks import qcow2, vdi

from .conftest import CMDLINE


def test_partitions_are_those_that_sfdisk_sees(image: Path) -> None:
    told = json.loads(made("sfdisk", "--json", str(image)).stdout)["partitiontable"]
    info = inspect_image(image)
    assert info.disk_uuid is not None
    assert (info.table, info.disk_uuid.lower()) == (told["label"], told["id"].lower())
    sector = told["sectorsize"]
    assert [(p.start, p.size, p.type_id, (p.uuid or "").upper(), p.name) for p in info.parts] == [
        (p["start"] * sector, p["size"] * sector, p["type"], p["uuid"], p["name"]) for p in told["partitions"]
    ]
    assert info.findings == ()


def test_boot_files_and_the_sections_of_a_uki(image: Path) -> None:
    info = inspect_image(image)
    assert [file.path for file in info.esp_files] == ["/EFI/Linux/sample.efi", "/loader/loader.conf"]
    (uki,) = info.programs
    assert (uki.kind, uki.version, uki.machine, uki.signatures) == ("uki", "6.1.0-9", "x86_64", ())
    assert uki.text[".cmdline"] == CMDLINE
    kernel = next(s for s in uki.sections if s.name == ".linux")
    assert (kernel.size, kernel.sha256) == (900, hashlib.sha256(b"k" * 900).hexdigest())


def test_system_accounts_and_installed_packages(image: Path) -> None:
    root = inspect_image(image).root
    assert root is not None
    assert (root.partition, root.os_release["ID"], root.hostname) == (2, "sample", "sample-host")
    assert root.kernels == ("6.1.0-9",)
    assert [(a.name, a.password) for a in root.accounts] == [("root", "locked"), ("ann", "set"), ("open", "empty")]
    assert [(p.name, p.version, p.arch, p.source, p.source_version) for p in root.packages] == [
        ("base", "1.2-3", "amd64", "base-source", "1.2-2")
    ]


def test_no_hash_of_a_password_is_told(image: Path) -> None:
    assert "$y$" not in json.dumps(image_value(inspect_image(image)))


def test_text_carries_no_control_characters_of_the_image(image: Path) -> None:
    text = "\n".join(image_lines(inspect_image(image), packages=True))
    assert "quiet \\x1b[31m" in text
    assert "base  1.2-3" in text
    assert "\x1b" not in text


def test_sbom_comes_out_as_it_lies_inside(image: Path, tmp_path: Path) -> None:
    (path,) = extract_sboms(image, tmp_path / "out")
    assert (path.name, path.read_text()) == ("sample.spdx.json", '{"spdxVersion": "SPDX-2.3"}\n')


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_formats_say_the_same(image: Path, form: str, capsys: pytest.CaptureFixture[str]) -> None:
    from ruamel.yaml import YAML

    assert run(["inspect", "--format", form, str(image)]) == 0
    assert YAML(typ="safe", pure=True).load(capsys.readouterr().out) == image_value(inspect_image(image))


@pytest.mark.parametrize(
    ("content", "reference"),
    [
        (b"", "no-image"),
        (b"some text\n" * 1000, "no-image"),
        (qcow2(1 << 20), "wrapped-image"),
        (vdi(1 << 20), "wrapped-image"),
        (b"QFI\xfb" + bytes(5000), "damaged-image"),
        (b"\x28\xb5\x2f\xfd" + bytes(5000), "wrapped-image"),
    ],
)
def test_what_is_no_raw_image_is_said(content: bytes, reference: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(ImageError) as caught:
        inspect_image(path)
    assert caught.value.reference == reference
    if reference == "wrapped-image":
        assert caught.value.hint == f"make a raw one of it: os-image-composer convert {path} --to raw"


def test_a_named_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(ImageError) as caught:
        inspect_image(pipe)
    assert caught.value.reference == "unreadable-image"


def test_missing_file_and_folder_are_errors_of_their_own(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(ImageError) as caught:
            inspect_image(path)
        assert caught.value.reference == "unreadable-image"


def test_image_that_is_cut_off_shows_what_is_left(image: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.raw"
    shutil.copyfile(image, cut)
    with cut.open("r+b") as stream:
        stream.truncate(26 * MIB)
    info = inspect_image(cut)
    assert [program.kind for program in info.programs] == ["uki"]
    assert info.findings


@pytest.fixture(scope="module")
def damaged(image: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shutil.copyfile(image, tmp_path_factory.mktemp("damaged") / "damaged.raw")


quick = settings(deadline=None, max_examples=40, suppress_health_check=list(HealthCheck))


@quick
@given(seed=st.integers(min_value=0, max_value=2**32), flips=st.integers(min_value=1, max_value=40))
def test_damaged_images_give_findings_or_an_error(image: Path, damaged: Path, seed: int, flips: int) -> None:
    chooser = random.Random(seed)
    with image.open("rb") as stream:
        data = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    changes = [chooser.choice(_said(image)) + chooser.randrange(1024) for _ in range(flips)]
    with damaged.open("r+b", buffering=0) as stream:
        for at in changes:
            os.pwrite(stream.fileno(), bytes([chooser.choice((0, 0xFF, chooser.randrange(256)))]), at)
        try:
            with contextlib.suppress(ImageError):
                list(image_lines(inspect_image(damaged), packages=True))
            with contextlib.suppress(ImageError):
                extract_sboms(damaged, damaged.parent / "sboms")
        finally:
            for at in changes:
                os.pwrite(stream.fileno(), data[at : at + 1], at)


def test_name_with_a_nul_byte_is_no_file_to_write(image: Path, damaged: Path) -> None:
    data = image.read_bytes()
    assert b"sample.spdx.json" in data
    damaged.write_bytes(data.replace(b"sample.spdx.json", b"s\0mple.spdx.json"))
    try:
        written = extract_sboms(damaged, damaged.parent / "nul")
    except ImageError as error:
        assert error.reference == "no-sbom"
    else:
        assert "s\0mple.spdx.json" not in [path.name for path in written]
    finally:
        damaged.write_bytes(data)


@functools.cache
def _said(image: Path) -> list[int]:
    """Where bytes are that say something: every KiB that is not empty."""
    data = image.read_bytes()
    return [n for n in range(0, len(data), 1024) if data[n : n + 1024].strip(b"\0")]

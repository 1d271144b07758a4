"""Same lock, same bits: two builds that differ in everything at once give the same image, bills of materials and
manifest. They share a bundle (the lock, and the packages that it names) and the password hashes that lie beside locks:
salts are random, and meant to be."""

from __future__ import annotations

import json
import os
import pwd
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from os_image_composer.build.canonical import sha256_file
from support.deb_repository import served
from support.lookalike.earlier import at, signed_earlier
from support.surroundings import Surroundings, another_locale, ordinary_user
from support.workshop import CHECKOUT, Workshop, remove_workshop

pytestmark = [pytest.mark.root, pytest.mark.build, pytest.mark.timeout(3600)]

YEARS = 3
# What the sample for hypervisors packs, and what is added to it here.
PACKED = tuple(f"pack:{form}" for form in ("qcow2", "vmdk", "vdi", "vhdx", "raw.zst", "vhd", "tar.gz", "tar"))
MORE = """\
    - type: vhd
    - type: tar
      compression: gz
  partitions:
"""
# Of azl3 from a look-alike of its repository (docs/rpm.md).
TARGETS = [
    pytest.param("debian13-x86_64-minimal-raw", ("disk",)),
    pytest.param("debian12-x86_64-minimal-raw", ("disk",), marks=pytest.mark.matrix),
    pytest.param("azl3-x86_64-minimal-raw", ("disk",), marks=pytest.mark.matrix),
    pytest.param("debian13-x86_64-live-iso", ("iso",), marks=pytest.mark.matrix),
    pytest.param("debian13-x86_64-initrd-img", ("initrd-image",), marks=pytest.mark.matrix),
    pytest.param("azl3-x86_64-live-iso", ("iso",), marks=pytest.mark.matrix),
    pytest.param("debian13-x86_64-hypervisors-raw", ("disk", *PACKED), marks=pytest.mark.matrix),
]


@pytest.fixture
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path | None]:
    """Each RPM is signed, and by a clock that is before the signature it is refused: these are signed before both."""
    name: str = request.getfixturevalue("sample")
    if not name.startswith("azl3"):
        yield None
        return
    lookalikes = request.getfixturevalue("lookalikes")
    text = signed_earlier(lookalikes, tmp_path / "repositories", YEARS + 1)
    with served(tmp_path / "repositories") as server:
        file = tmp_path / "settings.yml"
        file.write_text(at(text, server.url))
        yield file


@pytest.fixture
def one(settings: Path | None) -> Iterator[Surroundings]:
    """An ordinary user, with one worker, in a short folder, who builds without a network what was fetched with one."""
    workshop = Workshop(Path("/var/tmp") / f"oic-{os.getpid()}")
    workshop.root.mkdir()
    variables = {"LANG": "C.UTF-8", "TZ": "UTC"}
    made = Surroundings(workshop, ordinary_user(), 0o077, variables, workers=1, settings=settings)
    made.prepare()
    yield made
    shutil.rmtree(workshop.root, ignore_errors=True)


@pytest.fixture
def other(settings: Path | None, tmp_path: Path) -> Iterator[Surroundings]:
    """Root, with four workers on one processor, in a long folder, on a machine of another name whose clock is years
    back, and which has no network: all it has of the first build is a bundle."""
    workshop = Workshop(tmp_path / "a folder with blanks in its name, and longer" / "ünd ŵide")
    workshop.root.mkdir(parents=True)
    made = Surroundings(
        workshop,
        pwd.getpwuid(0),
        0o022,
        {"LANG": another_locale(), "LC_ALL": another_locale(), "TZ": "Pacific/Kiritimati", "COLUMNS": "40"},
        workers=4,
        cpus="0",
        host_name="build-host-7",
        years_back=YEARS,
        settings=settings,
        network=False,
    )
    made.prepare()
    yield made
    remove_workshop(workshop)


@pytest.mark.parametrize(("sample", "made"), TARGETS)
def test_two_builds_that_differ_in_everything_give_the_same_bits(
    sample: str, made: tuple[str, ...], one: Surroundings, other: Surroundings
) -> None:
    templates = [place.source / f"image-templates/{sample}.yml" for place in (one, other)]
    text = (CHECKOUT / f"image-templates/{sample}.yml").read_text()
    if "hypervisors" in sample:
        text = text.replace("  partitions:\n", MORE)
        for template in templates:
            template.write_text(text)
    # The first store is warm: it has built another image of the same packages before.
    variant = templates[0].with_name("variant.yml")
    variant.write_text(re.sub(r"(?m)^  hostname: .*", "  hostname: elsewhere", text))
    before = one.build(variant)
    one.carry(templates[0])
    first = replace(one, network=False).build(templates[0], "--offline", "--locked")
    other.share(one)
    second = other.build(templates[1], "--offline", "--locked", "--bundle", str(other.bundle))

    locks = [template.with_name(f"{template.name}.lock").exists() for template in templates]
    assert locks == [True, False]
    assert "packages:default" in before.ran and {"packages:default", *made} <= set(second.ran)
    assert set(made) <= set(first.ran) and "packages:default" not in first.ran
    assert before.sha256 != first.sha256
    assert_that_the_clock_was_back(other, dracut="initrd-image" not in made)
    assert published(other.workshop) == published(one.workshop)
    layers = [path.parent for path in (other.workshop.cache / "store" / "results").glob("*/content/etc")]
    assert layers
    assert all(layer.stat().st_uid != 0 for layer in layers)


def assert_that_the_clock_was_back(surroundings: Surroundings, *, dracut: bool) -> None:
    """Programs of the sandbox read another hour, and layers were dated by it."""
    notes = [line.split() for line in surroundings.notes.read_text().splitlines()]
    now = (surroundings.notes.stat().st_mtime) - YEARS * 365 * 86400
    hours = {program: int(words[-1]) for program, *words in notes if program != "dated"}
    assert dracut is ("dracut" in hours) and {"dpkg", "rpm"} & set(hours)
    assert all(now - 3600 < hour <= now for hour in hours.values())
    assert sum(int(count) for program, count in notes if program == "dated") > 1000


def published(workshop: Workshop) -> dict[str, Any]:
    """By file name the SHA-256 of what a build published; of the manifest all but what it says of that one build."""
    (manifest,) = workshop.work.rglob("*.manifest.json")
    value = json.loads(manifest.read_text())
    assert value.pop("build")["seconds"] > 0
    files = {path.name: sha256_file(path) for path in manifest.parent.iterdir() if path != manifest}
    assert {file["file"] for file in value["artifacts"]} <= set(files)
    return {**files, manifest.name: value}

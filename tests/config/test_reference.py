"""The reference page, the JSON Schema and the check of templates tell the same story."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from os_image_composer.config.findings import plain
from os_image_composer.config.json_schema import template_schema
from os_image_composer.config.load import check_template
from os_image_composer.config.reference import Key, sections
from os_image_composer.config.reference_page import COMMAND, template_page
from os_image_composer.config.sizes import parse_size
from os_image_composer.config.spec import Target
from os_image_composer.config.template import ImageTemplate
from os_image_composer.config.yaml_source import read_yaml

CHECKOUT = Path(__file__).parents[2]
SAMPLES = sorted((CHECKOUT / "image-templates").glob("*.yml"))


def keys() -> Iterator[tuple[str, Key]]:
    for section in sections(ImageTemplate):
        for key in section.keys:
            yield f"{section.path}.{key.name}".lstrip("."), key


def test_every_key_says_what_it_means() -> None:
    silent = [path for path, key in keys() if not key.meaning]
    assert not silent, f"write a docstring below these fields of config/template.py: {silent}"


def test_the_page_is_what_the_models_say() -> None:
    page = CHECKOUT / "docs" / "template.md"
    assert page.read_text(encoding="utf-8") == template_page(), f"run {COMMAND} and commit docs/template.md"


def test_the_script_knows_whether_the_page_is_up_to_date() -> None:
    subprocess.run([sys.executable, CHECKOUT / COMMAND, "--check"], check=True, timeout=60)


@pytest.mark.parametrize(
    ("path", "built", "nothing"),
    [
        ("systemConfig.hostname", True, None),
        ("extends", False, None),
        ("sbomPackageMetadata", False, "[]"),
        ("packageRepositories", True, None),
        ("systemConfig.immutability", True, None),
        ("systemConfig.fde", False, "{enabled: false}"),
        ("systemConfig.kernel.uki", True, None),
        ("disk.artifacts[].compression", True, None),
        ("disk.partitions[].index", False, None),
    ],
)
def test_the_reference_says_what_is_built(path: str, built: bool, nothing: str | None) -> None:
    key = dict(keys())[path]
    assert (key.built, key.nothing) == (built, nothing)


def test_the_reference_names_the_values_a_key_takes_and_those_of_later_versions() -> None:
    shape = dict(keys())["disk.partitions[].fsType"].shape
    assert "ext4" in shape.values
    assert "btrfs" in shape.later


def targets() -> tuple[Target, ...]:
    return (Target("debian", "debian13", "x86_64", "raw"),)


def validator() -> jsonschema.Draft202012Validator:
    schema = template_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda p: p.stem)
def test_the_schema_takes_what_the_check_takes(sample: Path) -> None:
    assert not check_template(sample, CHECKOUT / "config")
    assert [error.message for error in validator().iter_errors(plain(read_yaml(sample)))] == []


@pytest.mark.parametrize(
    "change",
    [
        {"imgae": {}},
        {"image": {"name": "-", "version": "1"}},
        {"systemConfig": {"hostnmae": "x"}},
        {"systemConfig": {"packages": "vim"}},
        {"disk": {"name": "d", "size": "2 apples", "partitions": []}},
        {"target": {"os": "debian", "dist": "debian13", "arch": "x86_64", "imageType": "rwa"}},
    ],
)
def test_the_schema_refuses_what_the_check_refuses(change: dict[str, Any]) -> None:
    template: dict[str, Any] = {
        "image": {"name": "a", "version": "1"},
        "target": {"os": "debian", "dist": "debian13", "arch": "x86_64", "imageType": "raw"},
    }
    assert validator().is_valid(template)
    assert not validator().is_valid({**template, **change})


def test_the_schema_names_the_targets_that_there_are() -> None:
    target = template_schema(targets())["properties"]["target"]["properties"]
    assert target["dist"]["enum"] == ["debian13"]


@pytest.mark.parametrize("text", ["4GiB", "512 MiB", "1048576", "3G", "7B", "2KB"])
def test_the_schema_takes_the_sizes_that_the_program_reads(text: str) -> None:
    assert parse_size(text) > 0
    assert re.fullmatch(template_schema()["properties"]["disk"]["properties"]["size"]["pattern"], text)


def test_the_verb_prints_the_schema(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "os_image_composer", "schema"]
    environment = {"PYTHONPATH": str(CHECKOUT / "src"), "HOME": str(tmp_path)}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=True, timeout=60)
    assert "debian13" in json.loads(done.stdout)["properties"]["target"]["properties"]["dist"]["enum"]

"""What `docs/manifest.schema.json` says of files that are no disk; that of disks is tried on built ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from os_image_composer.config.load import load_image_spec
from os_image_composer.provider.pack_steps import packed_files

CHECKOUT = Path(__file__).parents[2]


@pytest.mark.parametrize("sample", ["debian13-x86_64-initrd-img", "debian13-x86_64-live-iso"])
def test_schema_knows_every_file_that_the_sample_makes(sample: str) -> None:
    schema = json.loads((CHECKOUT / "docs" / "manifest.schema.json").read_text())
    known = schema["properties"]["artifacts"]["items"]["properties"]["type"]["enum"]
    spec = load_image_spec(CHECKOUT / "image-templates" / f"{sample}.yml", CHECKOUT / "config")
    assert {made.artifact.type for made in packed_files(spec)} <= set(known)

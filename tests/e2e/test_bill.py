"""The bills of materials and the manifest of the built sample, and what `inspect` says of it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from spdx_tools.spdx.parser.parse_anything import parse_file
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

from os_image_composer.chroot.job import Job, Tree
from os_image_composer.report.image_file import ImageInfo
from os_image_composer.report.inspect import extract_sboms, inspect_image
from support.workshop import CHECKOUT, Workshop

pytestmark = pytest.mark.build


def beside(built: Workshop, ending: str) -> Path:
    return built.image().with_name(f"debian13-minimal-1.0.{ending}")


@pytest.fixture(scope="module")
def installed(built: Workshop) -> set[tuple[str, ...]]:
    tree = Tree(built.layers("essential", "packages:default", "packages:template", "os-configuration"))
    query = ("dpkg-query", "-W", "-f", "${Package} ${Version} ${Architecture}\n")
    return {tuple(line.split()) for line in built.sandbox().run(Job(tree, query)).output.decode().splitlines()}


@pytest.fixture(scope="module")
def seen(built: Workshop) -> ImageInfo:
    return inspect_image(built.image())


def test_spdx_is_valid_and_has_every_installed_package(built: Workshop, installed: set[tuple[str, ...]]) -> None:
    document = parse_file(str(beside(built, "spdx.json")))
    assert validate_full_spdx_document(document, "SPDX-2.3") == []
    described = {(p.name, str(p.version)) for p in document.packages} - {("debian13-minimal", "1.0")}
    assert described == {(name, version) for name, version, _ in installed}


def test_cyclonedx_is_valid_and_has_every_installed_package(built: Workshop, installed: set[tuple[str, ...]]) -> None:
    text = beside(built, "cdx.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    assert {(c["name"], c["version"]) for c in json.loads(text)["components"]} == {(n, v) for n, v, _ in installed}


def test_every_package_has_its_file_and_most_a_licence(built: Workshop) -> None:
    packages: list[dict[str, Any]] = json.loads(beside(built, "spdx.json").read_text())["packages"][1:]
    locked = {p["name"]: p["sha256"] for p in json.loads(beside(built, "manifest.json").read_text())["packages"]}
    assert {p["name"]: p["checksums"][0]["checksumValue"] for p in packages} == locked
    assert all(p["packageFileName"].endswith(".deb") and p["supplier"] for p in packages)
    assert sum(p["licenseDeclared"] != "NOASSERTION" for p in packages) > 0.8 * len(packages)


def test_bills_inside_the_image_are_those_beside_it(built: Workshop, tmp_path: Path) -> None:
    inside = {path.name: path.read_bytes() for path in extract_sboms(built.image(), tmp_path / "out")}
    assert inside == {
        "debian13-minimal.spdx.json": beside(built, "spdx.json").read_bytes(),
        "debian13-minimal.cdx.json": beside(built, "cdx.json").read_bytes(),
    }


def test_inspect_sees_the_packages_that_are_installed(seen: ImageInfo, installed: set[tuple[str, ...]]) -> None:
    assert seen.root is not None
    assert {(p.name, p.version, p.arch) for p in seen.root.packages} == installed
    assert seen.findings == ()


def test_inspect_sees_boot_loader_kernel_and_accounts(seen: ImageInfo) -> None:
    kinds = {program.path: program.kind for program in seen.programs}
    assert kinds == {"/EFI/BOOT/BOOTX64.EFI": "systemd-boot", "/EFI/Linux/debian13-minimal.efi": "uki"}
    assert seen.root is not None
    assert len(seen.root.kernels) == 1
    assert {a.name for a in seen.root.accounts if a.password != "locked"} == {"admin"}


def test_manifest_is_as_its_schema_says_and_knows_the_bills(built: Workshop) -> None:
    manifest = json.loads(beside(built, "manifest.json").read_text())
    jsonschema.validate(manifest, json.loads((CHECKOUT / "docs" / "manifest.schema.json").read_text()))
    for sbom in manifest["sboms"]:
        path = built.image().with_name(sbom["file"])
        assert hashlib.sha256(path.read_bytes()).hexdigest() == sbom["sha256"]
    assert len(manifest["sboms"]) == 2
    assert "change-me-first" not in json.dumps(manifest)

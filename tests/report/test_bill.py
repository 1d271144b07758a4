"""Both renderings of a bill of materials, read by the libraries of their own formats."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from spdx_tools.spdx.parser.parse_anything import parse_file
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

from os_image_composer.report.bill import Bill, Component, Supplier, parse_supplier
from os_image_composer.report.cyclonedx import cyclonedx_json
from os_image_composer.report.spdx import spdx_json


def component(name: str, **more: Any) -> Component:
    values: dict[str, Any] = {
        "name": name,
        "version": "1:2.0~rc1+b1",
        "arch": "amd64",
        "purl": f"pkg:deb/debian/{name}@1:2.0~rc1%2Bb1?arch=amd64&distro=debian-13",
        "source": name,
        "source_version": "1:2.0~rc1",
        "supplier": Supplier("Some Team", "team@example.org"),
        "homepage": "https://example.org/",
        "licence": "MIT AND (ISC OR LicenseRef-odd-12345678)",
        "sha256": "0" * 64,
        "path": f"pool/main/{name}_2.0~rc1+b1_amd64.deb",
        "url": None,
        "depends": (),
    }
    return Component(**values | more)


@pytest.fixture
def bill() -> Bill:
    base = component("libstdc++6")
    bare = component("bare", supplier=None, homepage=None, licence=None, sha256=None, path=None)
    user = component(
        "user",
        depends=(base.purl,),
        supplier=Supplier("Ann Other (at work)", None),
        url="https://vendor.example/pool/main/user_2.0~rc1+b1_amd64.deb",
    )
    return Bill(
        image="sample",
        version="1.0",
        arch="x86_64",
        os="Debian GNU/Linux 13 (trixie)",
        uuid="4f1cf1c6-3c37-5c6c-9d6c-5d8f3a1f1b11",
        created=1_700_000_000,
        components=tuple(sorted((base, bare, user), key=lambda c: c.purl)),
        licence_texts={"LicenseRef-odd-12345678": "Do as you like.\n\nReally."},
    )


def test_spdx_is_valid(bill: Bill, tmp_path: Path) -> None:
    path = tmp_path / "sample.spdx.json"
    path.write_text(spdx_json(bill))
    document = parse_file(str(path))
    assert validate_full_spdx_document(document, "SPDX-2.3") == []
    assert {package.name for package in document.packages} == {"sample", "libstdc++6", "bare", "user"}


def test_cyclonedx_is_valid(bill: Bill) -> None:
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(cyclonedx_json(bill)) is None


def test_both_tell_the_same_dependencies(bill: Bill) -> None:
    spdx, cyclonedx = json.loads(spdx_json(bill)), json.loads(cyclonedx_json(bill))
    names = {p["SPDXID"]: p["name"] for p in spdx["packages"]}
    edges = {
        (names[r["spdxElementId"]], names[r["relatedSpdxElement"]])
        for r in spdx["relationships"]
        if r["relationshipType"] == "DEPENDS_ON"
    }
    purls = {c["purl"]: c["name"] for c in cyclonedx["components"]}
    assert edges == {("user", "libstdc++6")}
    assert edges == {
        (purls[d["ref"]], purls[on]) for d in cyclonedx["dependencies"] if d["ref"] in purls for on in d["dependsOn"]
    }


def test_equal_bills_give_equal_text(bill: Bill) -> None:
    assert "2023-11-14T22:13:20Z" in spdx_json(bill)
    assert (spdx_json(bill), cyclonedx_json(bill)) == (spdx_json(bill), cyclonedx_json(bill))


def test_packages_whose_names_differ_in_signs_only_have_identifiers_of_their_own(bill: Bill) -> None:
    other = Bill(**vars(bill) | {"components": (component("a+b"), component("a_b"), component("a-x2b-b"))})
    identifiers = [p["SPDXID"] for p in json.loads(spdx_json(other))["packages"]]
    assert len(set(identifiers)) == 4


@pytest.mark.parametrize(
    ("maintainer", "name", "email", "person"),
    [
        ("Ann Other <ann@example.org>", "Ann Other", "ann@example.org", True),
        ('"Other, Ann" <ann@example.org>', "Other, Ann", "ann@example.org", True),
        ("Debian GNOME Maintainers <list@example.org>", "Debian GNOME Maintainers", "list@example.org", False),
        ("<only@example.org>", "only@example.org", "only@example.org", True),
        ("Just A Name", "Just A Name", None, True),
    ],
)
def test_supplier(maintainer: str, name: str, email: str | None, person: bool) -> None:
    found = parse_supplier(maintainer)
    assert found is not None
    assert (found.name, found.email, found.is_person) == (name, email, person)

"""Licences from copyright files, on files of real packages and against the parser of debian-inspector."""

from __future__ import annotations

from pathlib import Path

import pytest
from debian_inspector.copyright import CopyrightFilesParagraph, DebianCopyright
from hypothesis import given, settings
from hypothesis import strategies as st
from license_expression import get_spdx_licensing

from os_image_composer.ospackage.deb.copyright import read_licence

HEAD = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\n"


def expression(*licences: str) -> str:
    text = HEAD + "\n\n".join(f"Files: {n}\nCopyright: someone\nLicense: {name}" for n, name in enumerate(licences))
    found = read_licence(text.encode())
    assert found is not None
    return found.expression


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("GPL-2+", "GPL-2.0-or-later"),
        ("GPL-2", "GPL-2.0-only"),
        ("LGPL-2.1+", "LGPL-2.1-or-later"),
        ("GPL", "GPL-1.0-or-later"),
        ("GPL-2.0+", "GPL-2.0-or-later"),
        ("GFDL-NIV-1.3+", "GFDL-1.3-no-invariants-or-later"),
        ("Expat", "MIT"),
        ("BSD-3-clause", "BSD-3-Clause"),
        ("GPL-2+ and BSD-3-clause", "GPL-2.0-or-later AND BSD-3-Clause"),
        ("GPL-2+ or Artistic-2.0, and ISC", "(GPL-2.0-or-later OR Artistic-2.0) AND ISC"),
        ("GPL-2 or ISC and Zlib", "GPL-2.0-only OR ISC AND Zlib"),
    ],
)
def test_short_names_become_spdx_identifiers(written: str, meant: str) -> None:
    assert expression(written) == meant


def test_licences_of_all_files_are_joined_each_once() -> None:
    assert expression("GPL-2+", "Expat", "GPL-2+", "ISC or Zlib") == "GPL-2.0-or-later AND MIT AND (ISC OR Zlib)"


def test_unknown_name_is_a_reference_with_its_text() -> None:
    text = HEAD + "Files: *\nLicense: public-domain or odd/name\n\nLicense: public-domain\n Free for\n .\n all.\n"
    found = read_licence(text.encode())
    assert found is not None
    one, other = found.expression.split(" OR ")
    assert one.startswith("LicenseRef-public-domain-")
    assert found.texts[one] == "Free for\n\nall."
    assert other.startswith("LicenseRef-odd-name-")
    assert "no text" in found.texts[other]


def test_text_that_no_machine_reads_declares_nothing() -> None:
    assert read_licence(b"This package was debianized by someone.\nLicense: GPL\n") is None
    assert read_licence(b"") is None


def host_files() -> list[Path]:
    return sorted(Path("/usr/share/doc").glob("*/copyright"))[::3]


def test_every_licence_of_this_host_is_a_valid_spdx_expression_and_none_is_missed() -> None:
    licensing, known = get_spdx_licensing(), 0
    for path in host_files():
        found = read_licence(path.read_bytes())
        if found is None:
            continue
        known += 1
        checked = found.expression
        for reference in found.texts:
            assert reference in found.expression.replace("(", " ").replace(")", " ").split(), path
            checked = checked.replace(reference, "MIT")
        assert licensing.validate(checked).errors == [], path
    assert known > 20


def test_the_same_licences_are_found_as_by_debian_inspector() -> None:
    compared = 0
    for path in host_files():
        content = path.read_bytes()
        found = read_licence(content)
        if found is None or len(content) > 50_000:
            continue
        parsed = DebianCopyright.from_text(content.decode("utf-8", "replace"))
        names = {p.license.name for p in parsed.paragraphs if isinstance(p, CopyrightFilesParagraph)} - {None, ""}
        plain = {name for name in names if name in ("ISC", "Zlib", "Apache-2.0", "CC0-1.0", "FSFAP", "FSFUL")}
        for name in plain:
            compared += 1
            assert name in found.expression, path
    assert compared > 5


@settings(deadline=None, max_examples=200)
@given(st.text(max_size=200), st.binary(max_size=300))
def test_no_text_makes_it_fail(synopsis: str, content: bytes) -> None:
    read_licence((HEAD + f"Files: *\nLicense: {synopsis}\n").encode("utf-8", "replace") + content)
    read_licence(content)

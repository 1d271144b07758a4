"""Every reference that an error can carry has a row in docs/errors.md."""

from __future__ import annotations

from support.error_references import listed, references

COMMAND = "scripts/make-error-reference"


def test_every_reference_is_on_the_page() -> None:
    assert sorted(set(references()) - listed()) == [], f"run {COMMAND} and commit docs/errors.md"


def test_the_page_names_no_reference_that_nothing_raises() -> None:
    assert sorted(listed() - set(references())) == [], f"run {COMMAND} and commit docs/errors.md"


def test_the_source_is_read_in_all_the_ways_that_raise() -> None:
    found = references()
    for reference in (
        "unknown-package",
        "wrong-size",
        "not-built-yet",
        "yaml-syntax",
        "path-leads-out",
        "host-refused",
    ):
        assert found[reference], reference
    assert "the file says nothing" in [use.says for use in found["empty-file"]]

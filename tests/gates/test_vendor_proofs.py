"""What is said about a vendor follows from the proofs that are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
UNPROVEN = "never run against the vendor"


def proven(dist: str) -> bool:
    """Whether a run from the vendor's own address that booted is on record."""
    pages = (path.read_text(encoding="utf-8") for path in (CHECKOUT / "docs/proofs").glob(f"{dist}-*.md"))
    return any("| the vendor's own address | yes |" in page and "| verdict | passed |" in page for page in pages)


@pytest.mark.parametrize("dist", ["elxr12", "azl3", "emt3"])
def test_distribution_that_its_vendor_never_saw_is_called_so(dist: str) -> None:
    readme = (CHECKOUT / "README.md").read_text(encoding="utf-8").splitlines()
    (row,) = [line for line in readme if line.startswith("|") and f"(`{dist}`)" in line]
    assert (UNPROVEN in plain(row)) is not proven(dist)


@pytest.mark.parametrize(("page", "dists"), [("docs/elxr.md", ["elxr12"]), ("docs/rpm.md", ["azl3", "emt3"])])
def test_page_of_a_vendor_says_so_until_all_of_its_distributions_are_proven(page: str, dists: list[str]) -> None:
    text = plain((CHECKOUT / page).read_text(encoding="utf-8"))
    assert (UNPROVEN in text) is not all(map(proven, dists))


def plain(text: str) -> str:
    return re.sub(r"[\s*]+", " ", text).lower()


def test_record_of_a_proof_is_not_one_of_a_look_alike() -> None:
    for path in (CHECKOUT / "docs/proofs").glob("*.md"):
        assert "127.0.0.1" not in path.read_text(encoding="utf-8"), path

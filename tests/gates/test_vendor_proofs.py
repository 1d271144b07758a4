"""What is said about a vendor follows from the proofs that are there."""

from __future__ import annotations

import re
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
UNPROVEN = "never run against the vendor"


def proven(dist: str) -> bool:
    """Whether a run from the vendor's own address that booted is on record."""
    pages = (path.read_text(encoding="utf-8") for path in (CHECKOUT / "docs/proofs").glob(f"{dist}-*.md"))
    return any("| the vendor's own address | yes |" in page and "| verdict | passed |" in page for page in pages)


def test_distribution_that_its_vendor_never_saw_is_called_so() -> None:
    for page in ("README.md", "docs/elxr.md"):
        text = re.sub(r"[\s*]+", " ", (CHECKOUT / page).read_text(encoding="utf-8")).lower()
        assert (UNPROVEN in text) is not proven("elxr12"), page


def test_record_of_a_proof_is_not_one_of_a_look_alike() -> None:
    for path in (CHECKOUT / "docs/proofs").glob("*.md"):
        assert "127.0.0.1" not in path.read_text(encoding="utf-8"), path

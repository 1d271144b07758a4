"""The page of scripts/prove-vendor reads a lock as it is written today."""

from __future__ import annotations

import json
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path

from os_image_composer.ospackage.lock import Lock, LockedRepository
from os_image_composer.ospackage.lock_text import dump_lock

SCRIPT = Path(__file__).parents[2] / "scripts" / "prove-vendor"


def test_a_repository_is_told_with_its_day_and_its_key() -> None:
    loader = SourceFileLoader("prove_vendor", str(SCRIPT))
    spec = spec_from_loader("prove_vendor", loader)
    assert spec is not None
    script = module_from_spec(spec)
    loader.exec_module(script)
    repository = LockedRepository("elxr/aria", "https://m.example", "aria", 1700000000, None, "cd" * 32, ("ef" * 20,))
    (written,) = json.loads(dump_lock(Lock("o", "d", "x86_64", "s", 0, (repository,), {})))["repositories"]
    assert script.origin(written) == f"https://m.example, of 2023-11-14, signed by {'EF' * 20}"

"""A step that fails on a full disk says so, whatever its program said."""

from __future__ import annotations

import shutil

import pytest

from os_image_composer.build.plan import make_plan
from os_image_composer.build.step import Step
from os_image_composer.errors import StepError
from support.engine import Bench

from .test_execute import Fail


def test_hint_names_the_full_store(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(bench.root)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1 << 20))
    with pytest.raises(StepError) as caught:
        bench.build(make_plan("test", [Step("disk", Fail())]))
    assert caught.value.hint is not None and caught.value.hint.startswith(f"no space is left in {bench.root}/store")

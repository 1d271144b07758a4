"""A step that fails on a full disk says so, whatever its program said."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import ClassVar

import pytest

from os_image_composer.build.plan import make_plan
from os_image_composer.build.step import Kind, Step, Work
from os_image_composer.errors import StepError
from support.engine import Bench

from .test_execute import Fail


def test_hint_names_the_full_store(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(bench.root)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1 << 20))
    with pytest.raises(StepError) as caught:
        bench.build(make_plan("test", [Step("disk", Fail())]))
    assert caught.value.hint is not None and caught.value.hint.startswith(f"no space is left in {bench.root}/store")


@dataclass(frozen=True)
class Complain:
    """A program that says it in the middle and cleans up behind itself."""

    kind: ClassVar[str] = "test-complain"
    version: ClassVar[int] = 1
    result: ClassVar[Kind] = Kind.TREE

    def run(self, work: Work[None]) -> None:
        work.say("unpacking: No space left on device")
        work.say("giving up")
        raise StepError("on-purpose", "failed on purpose", hint="see above")


def test_hint_follows_from_what_a_program_said_though_there_is_room_again(bench: Bench) -> None:
    with pytest.raises(StepError) as caught:
        bench.build(make_plan("test", [Step("layer", Complain())]))
    assert caught.value.hint is not None and caught.value.hint.startswith("no space is left in")

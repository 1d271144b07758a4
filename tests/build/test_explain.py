"""Why a step runs again, in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from os_image_composer.build.explain import explain
from os_image_composer.build.plan import Plan, make_plan
from os_image_composer.build.step import Kind, Step, Work


@dataclass(frozen=True)
class Options:
    kind: ClassVar[str] = "test"
    version: ClassVar[int] = 1
    result: ClassVar[Kind] = Kind.TREE

    things: tuple[Any, ...]

    def run(self, work: Work[None]) -> None: ...


def plan(*things: Any) -> Plan:
    return make_plan("p", [Step("step", Options(things))])


def why(before: Plan, now: Plan) -> str:
    return explain(now, before.to_json())["step"]


def test_packages_that_came_went_or_have_another_version_are_named() -> None:
    htop, jq = {"name": "htop", "version": "3"}, {"name": "jq", "version": "1"}
    assert why(plan(htop), plan(htop, jq)) == "things changed: +jq 1"
    assert why(plan(htop, jq), plan(htop)) == "things changed: -jq 1"
    assert why(plan(jq), plan({"name": "jq", "version": "2"})) == "things changed: +jq 2 -jq 1"


def test_file_with_another_content_is_named_by_where_it_goes() -> None:
    assert why(plan({"final": "/etc/motd", "sha256": "a"}), plan({"final": "/etc/motd", "sha256": "b"})) == (
        "things changed: /etc/motd"
    )


def test_many_changes_are_cut_short() -> None:
    assert why(plan(), plan(*"abcdefgh")) == "things changed: +a +b +c +d +e +f …"

"""Where the difference between two builds of one plan began: the step, the file, the likely reason."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from os_image_composer.build.plan import Plan, make_plan
from os_image_composer.build.step import Input, Kind, Result, Step
from os_image_composer.chroot.ids import IdMap
from os_image_composer.chroot.job import Edit, MakeDirectory, Tree, WriteFile
from os_image_composer.chroot.sandbox import Sandbox
from os_image_composer.config.settings import IdRange
from os_image_composer.provider.verify import Side, Verdict, differing
from support.engine import Finish, Write

Layer = Callable[[str, Sequence[Edit]], Result]
CLAMP = 1_000_000_000
EARLIER = WriteFile("/etc/hosts", b"127.0.0.1 localhost\n")


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    (tmp_path / "scratch").mkdir()
    made = Sandbox(IdMap.for_caller(IdRange(2_000_000_000, 65536)), tmp_path / "scratch")
    yield made
    made.remove([tmp_path / "layers"])


@pytest.fixture
def layer(sandbox: Sandbox, tmp_path: Path) -> Layer:
    def make(name: str, edits: Sequence[Edit]) -> Result:
        path = tmp_path / "layers" / name / "content"
        path.parent.mkdir(parents=True)
        sandbox.new_layer(path)
        sandbox.edit(Tree(upper=path), edits)
        return Result(name, Kind.TREE, sandbox.digest(path, CLAMP).sha256, path, clamp=CLAMP)

    return make


@pytest.fixture
def plan() -> Plan:
    """Two steps of which neither sees the other, one that sees the first, and the image."""
    after = Step("after", Write("3"), (Input("lower", "first"),))
    image = Step("image", Finish(), tuple(Input("lower", name) for name in ("first", "beside", "after")))
    return make_plan("test", [Step("first", Write("1")), Step("beside", Write("2")), after, image])


def side(tmp_path: Path, **results: Result) -> Side:
    return Side(results, {"image": tmp_path / "image.raw"}, tmp_path)


def test_only_the_step_whose_inputs_were_equal_is_named_with_file_and_reason(
    plan: Plan, sandbox: Sandbox, layer: Layer, tmp_path: Path
) -> None:
    beside = layer("beside", [EARLIER])
    one = side(
        tmp_path,
        first=layer("first-1", [EARLIER, WriteFile("/etc/key", b"\x8e\x10\x93\xf7\x02\x5c\xdd\x1b", 0o600)]),
        beside=beside,
        after=layer("after-1", [WriteFile("/var/copy", b"1")]),
    )
    other = side(
        tmp_path,
        first=layer("first-2", [EARLIER, WriteFile("/etc/key", b"\x41\xee\x27\x68\xb9\xa3\x30\xc4", 0o600)]),
        beside=beside,
        after=layer("after-2", [WriteFile("/var/copy", b"2")]),
    )
    verdict = Verdict(differing(plan, one, other, sandbox), 1.0)
    said = "bytes of equal length that look random: a key, a salt, or an identifier"
    assert list(verdict.lines()) == [f"step first: /etc/key: content differs: {said}"]
    assert verdict.error().reference == "not-reproducible"
    assert verdict.error().detail == tuple(verdict.lines())


def test_each_of_several_beginnings_is_named(plan: Plan, sandbox: Sandbox, layer: Layer, tmp_path: Path) -> None:
    one = side(tmp_path, first=layer("a", [MakeDirectory("/srv", 0o755)]), beside=layer("b", []))
    other = side(
        tmp_path, first=layer("c", [MakeDirectory("/srv", 0o700)]), beside=layer("d", [WriteFile("/only", b"")])
    )
    found = differing(plan, one, other, sandbox)
    assert [(step.name, file.path, file.what) for step in found for file in step.files] == [
        ("first", "/srv", "type, mode or owner"),
        ("beside", "/only", "presence"),
    ]


def test_folder_of_the_build_in_a_file_is_named_as_the_reason(
    plan: Plan, sandbox: Sandbox, layer: Layer, tmp_path: Path
) -> None:
    one = Side({"first": layer("a", [WriteFile("/etc/where", b"/srv/one/tmp\n")])}, {}, Path("/srv/one"))
    other = Side({"first": layer("b", [WriteFile("/etc/where", b"/srv/other/tmp\n")])}, {}, Path("/srv/other"))
    (step,) = differing(plan, one, other, sandbox)
    (file,) = step.files
    assert file.reason == "it holds the folder of the build, /srv/one"


def test_equal_results_are_equal_whatever_lies_beside_them(
    plan: Plan, sandbox: Sandbox, layer: Layer, tmp_path: Path
) -> None:
    one = side(tmp_path, first=layer("a", [EARLIER]))
    other = side(tmp_path, first=layer("b", [EARLIER]), beside=layer("c", [EARLIER]))
    assert Verdict(differing(plan, one, other, sandbox), 1.0).equal

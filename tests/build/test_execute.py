"""What is reused, what runs, and what happens when something goes wrong."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

from os_image_composer.build.canonical import sha256_file
from os_image_composer.build.events import Note, StepFinished
from os_image_composer.build.execute import forecast
from os_image_composer.build.plan import Plan, make_plan
from os_image_composer.build.step import Input, Kind, Step, Work
from os_image_composer.build.store import Store
from os_image_composer.errors import StepError
from support.engine import Bench, Finish, PlainDigest, PlainTrees, Write


def plan(base: str = "a", config: str = "b", seen: int = 1000, title: str = "image") -> Plan:
    """base ← config ← part of config ← image, as package layers, configuration, its projection and the disk."""
    return make_plan(
        "test",
        [
            Step("base", Write(base)),
            Step("config", Write(config), (Input("lower", "base"),)),
            Step("projection", Write("p", seen), (Input("lower", "config"),)),
            Step("initrd", Write("i"), (Input("lower", "projection"),)),
            Step(
                "disk",
                Finish(title),
                (Input("lower", "base"), Input("lower", "config"), Input("lower", "initrd")),
            ),
        ],
    )


def test_second_build_of_an_unchanged_plan_runs_nothing(bench: Bench) -> None:
    first = bench.build(plan())
    assert bench.ran == ["base", "config", "projection", "initrd", "disk"]
    second = bench.build(plan())
    assert bench.ran == []
    assert second.results == first.results
    assert second.files["disk"].read_text() == "imageaababpi"


def test_changed_step_reruns_with_all_that_sees_the_change(bench: Bench) -> None:
    bench.build(plan())
    bench.build(plan(config="B"))
    assert bench.ran == ["config", "projection", "initrd", "disk"]
    assert bench.why["config"] == "text changed: b → B"
    assert bench.why["disk"] == "after config, initrd"


def test_rebuild_stops_where_an_input_has_the_same_content_again(bench: Bench) -> None:
    bench.build(plan(seen=1))
    bench.build(plan(seen=1, config="B"))
    assert bench.ran == ["config", "projection", "disk"]


def test_removed_image_is_written_again_and_nothing_else(bench: Bench) -> None:
    outcome = bench.build(plan())
    outcome.files["disk"].unlink(missing_ok=True)
    (bench.root / "out" / "image.raw").unlink(missing_ok=True)
    bench.build(plan())
    assert bench.ran == ["disk"]


def test_changed_image_of_the_same_size_is_noticed(bench: Bench) -> None:
    bench.build(plan())
    published = bench.root / "out" / "image.raw"
    text = published.read_text()
    published.write_text(text[:-1] + "X")
    bench.build(plan())
    assert bench.ran == ["disk"]
    assert published.read_text() == text


def test_touched_image_is_known_again_by_its_bytes(bench: Bench) -> None:
    bench.build(plan())
    (bench.root / "out" / "image.raw").touch()
    bench.build(plan())
    assert bench.ran == []


def test_damaged_layer_is_discarded_reported_and_made_again(bench: Bench) -> None:
    first = bench.build(plan())
    layer = bench.layer(plan()["config"].id)
    (layer / "text").write_text("tampered with")
    bench.build(plan(title="other"))
    assert bench.ran == ["config", "disk"]
    assert [n for n in bench.notes if isinstance(n, Note) and "config" in n.message]
    again = bench.build(plan())
    assert again.results == first.results


def test_flipped_byte_with_old_size_and_time_never_reaches_an_image(bench: Bench) -> None:
    bench.build(plan())
    text = bench.layer(plan()["base"].id) / "text"
    status = text.stat()
    text.write_text("Z")
    os.utime(text, ns=(status.st_atime_ns, status.st_mtime_ns))
    bench.build(plan(title="other"))
    assert bench.ran == ["base", "disk"]
    assert not bench.stopped
    assert (bench.root / "out" / "image.raw").read_text() == "otheraababpi"


def test_flipped_byte_never_reaches_what_is_kept_for_later_builds(bench: Bench) -> None:
    bench.build(plan())
    text = bench.layer(plan()["base"].id) / "text"
    status = text.stat()
    text.write_text("Z")
    os.utime(text, ns=(status.st_atime_ns, status.st_mtime_ns))
    bench.build(plan(config="B"))
    assert bench.ran == ["base", "config", "projection", "initrd", "disk"]
    assert (bench.layer(plan(config="B")["config"].id) / "text").read_text() == "aB"


def test_damaged_record_is_no_result_and_gives_way_to_the_next(bench: Bench) -> None:
    first = bench.build(plan())
    (bench.layer(plan()["config"].id).parent / "record.json").write_text("{half")
    again = bench.build(plan(title="other"))
    assert bench.ran == ["config", "disk"]
    assert again.results["disk"].digest != first.results["disk"].digest
    assert bench.build(plan()).results["disk"].digest == first.results["disk"].digest


def test_failed_step_keeps_what_was_finished_and_publishes_nothing(bench: Bench) -> None:
    good = plan()
    broken = make_plan("test", [*(s.step for s in good.steps[:-1]), Step("disk", Fail(), (Input("lower", "initrd"),))])
    with pytest.raises(StepError, match="on purpose"):
        bench.build(broken)
    assert bench.stopped
    assert not (bench.root / "out" / "image.raw").exists()
    assert [e.outcome for e in bench.notes if isinstance(e, StepFinished)][-1] == "failed"
    bench.build(good)
    assert bench.ran == ["disk"]
    assert not list((bench.root / "store" / "tmp").iterdir())


def test_output_of_a_step_is_kept_and_named_where_it_fails(bench: Bench) -> None:
    bench.build(plan())
    log = bench.root / "store" / "logs" / "test" / "config.log"
    assert log.read_text() == "writing b\n"
    broken = make_plan("test", [Step("disk", Fail())])
    with pytest.raises(StepError) as caught:
        bench.build(broken)
    log = bench.root / "store" / "logs" / "test" / "disk.log"
    assert caught.value.detail == (f"the whole output: {log}",)
    assert log.read_text() == "about to fail\n"


def test_independent_steps_run_side_by_side(bench: Bench) -> None:
    slow = [Step(name, Rendezvous(str(bench.root), name, other)) for name, other in (("one", "two"), ("two", "one"))]
    bench.build(make_plan("pair", [*slow, Step("disk", Finish(), (Input("lower", "one"), Input("lower", "two")))]))
    assert sorted(bench.ran[:2]) == ["one", "two"]


def test_another_version_of_what_runs_the_steps_runs_all_of_them(bench: Bench) -> None:
    one = plan()
    bench.build(one)
    bench.build(make_plan("test", [s.step for s in one.steps], "sandbox 2"))
    assert len(bench.ran) == len(one.steps)
    assert bench.why["base"] == "run by another version ( → sandbox 2)"


def test_forecast_says_what_will_run_and_what_depends(bench: Bench) -> None:
    bench.build(plan())
    changed = plan(config="B")
    verdicts = {f.name: f.verdict for f in forecast(changed, bench.store, bench.shelf(bench.root))}
    assert verdicts == {
        "base": "reused",
        "config": "runs",
        "projection": "maybe",
        "initrd": "maybe",
        "disk": "maybe",
    }


def test_work_of_a_killed_build_is_swept_and_of_a_living_one_is_not(bench: Bench) -> None:
    script = (
        "import sys, time; from pathlib import Path; sys.path[:0] = sys.argv[2:];"
        "from support.engine import PlainTrees; from os_image_composer.build.store import Store;"
        "from os_image_composer.build.step import Kind;"
        "root = Path(sys.argv[1]); store = Store(root, PlainTrees(), 0, root / 'tmp');"
        "held = store.workspace(Kind.TREE); held.__enter__();"
        "print('ready', flush=True); time.sleep(60)"
    )
    source = str(Path(__file__).parents[2] / "src")
    argv = [sys.executable, "-c", script, str(bench.root / "store"), str(Path(__file__).parents[1]), source]
    child = subprocess.Popen(argv, stdout=subprocess.PIPE)
    assert child.stdout is not None and child.stdout.readline() == b"ready\n"
    tmp = bench.root / "store" / "tmp"
    bench.store.scratch.sweep()
    assert len(list(tmp.iterdir())) == 2
    child.kill()
    child.wait()
    bench.store.scratch.sweep()
    assert not list(tmp.iterdir())


def test_lock_of_a_build_that_was_killed_after_its_folder_was_gone_is_swept(bench: Bench) -> None:
    tmp = bench.store.scratch.root
    (tmp / "0123456789abcdef.lock").touch()
    (tmp / "somebody's.lock").touch()
    bench.store.scratch.sweep()
    assert [p.name for p in tmp.iterdir()] == ["somebody's.lock"]


def test_result_that_another_build_made_anew_is_not_discarded_for_the_old_ones_damage(bench: Bench) -> None:
    """Two builds see the same damage; the slower one must leave what the faster one has made by then."""
    bench.build(plan())
    layer = bench.layer(plan()["config"].id)
    (layer / "text").write_text("tampered with")
    slower = bench.execution(plan(title="other"), bench.root / "slower")
    found = bench.store.by_id(plan()["config"].id)
    assert found is not None and bench.store.damaged([found])
    bench.build(plan(title="third"))
    assert "config" in bench.ran
    slower._give_up("config", found, bench.store.damaged)
    assert bench.layer(plan()["config"].id).is_dir()


def test_result_keeps_the_clamp_that_its_digest_was_taken_with(bench: Bench) -> None:
    """The image tools do not depend on the lock's epoch, so locks of different days share them."""
    bench.build(plan())
    later = Store(bench.root / "store", ClampedTrees(), 5000, bench.root / "store" / "tmp")
    found = later.by_id(plan()["base"].id)
    assert found is not None and found.clamp == 0
    ClampedTrees.asked.clear()
    later.changed([found])
    assert ClampedTrees.asked == [0]


class ClampedTrees(PlainTrees):
    asked: ClassVar[list[int]] = []

    def digest(self, path: Path, clamp: int) -> PlainDigest:
        self.asked.append(clamp)
        return super().digest(path, clamp)


@dataclass(frozen=True)
class Fail:
    kind: ClassVar[str] = "test-fail"
    version: ClassVar[int] = 1
    result: ClassVar[Kind] = Kind.ARTIFACT

    def run(self, work: Work[None]) -> None:
        work.say("about to fail")
        raise StepError("on-purpose", "failed on purpose")


@dataclass(frozen=True)
class Rendezvous:
    """Ends only when its partner has begun."""

    kind: ClassVar[str] = "test-rendezvous"
    version: ClassVar[int] = 1
    result: ClassVar[Kind] = Kind.TREE

    folder: str
    name: str
    partner: str

    def run(self, work: Work[None]) -> None:
        Path(self.folder, self.name).touch()
        deadline = time.monotonic() + 5
        while not Path(self.folder, self.partner).exists():
            if time.monotonic() > deadline:
                raise StepError("alone", "the partner never came")
            time.sleep(0.01)
        (work.output / "text").write_text(self.name)


def test_result_that_is_wanted_is_given_with_an_image_that_is_there_already(bench: Bench) -> None:
    bench.build(plan())
    outcome = bench.build(plan(), wanted=("config",))
    content = outcome.results["config"].content
    assert bench.ran == []
    assert content is not None
    assert (content / "text").read_text() == (bench.layer(plan()["config"].id) / "text").read_text()


def test_result_that_is_wanted_and_was_damaged_is_made_again(bench: Bench) -> None:
    bench.build(plan())
    good = (bench.layer(plan()["config"].id) / "text").read_text()
    (bench.layer(plan()["config"].id) / "text").write_text("damaged")
    outcome = bench.build(plan(), wanted=("config",))
    content = outcome.results["config"].content
    assert "config" in bench.ran
    assert content is not None
    assert (content / "text").read_text() == good


def packed(text: str = "p", *, published: bool = True) -> Plan:
    """The disk, what is made of it, and what is made of that: all artifacts, the first one published or not."""
    steps = [s.step for s in plan()]
    steps += [Step("pack", Pack(text), (Input("file", "disk"),)), Step("zip", Pack("z"), (Input("file", "pack"),))]
    return make_plan("test", steps, "", [*(("disk",) if published else ()), "pack", "zip"])


@dataclass(frozen=True)
class Pack:
    kind: ClassVar[str] = "test-pack"
    version: ClassVar[int] = 1
    result: ClassVar[Kind] = Kind.ARTIFACT

    text: str

    def run(self, work: Work[None]) -> None:
        assert sha256_file(work.one("file")) == work.digest("file")
        work.output.write_text(f"{self.text}({work.one('file').read_text()})")


@pytest.fixture
def packing(bench: Bench) -> Bench:
    bench.names = {"disk": "image.raw", "pack": "image.pack", "zip": "image.pack.zip"}
    return bench


def test_several_artifacts_are_made_of_one_another_in_one_build(packing: Bench) -> None:
    outcome = packing.build(packed())
    assert {name: path.name for name, path in outcome.files.items()} == packing.names
    assert (packing.root / "out" / "image.pack.zip").read_text() == "z(p(imageaababpi))"
    packing.build(packed())
    assert packing.ran == []


def test_another_artifact_costs_its_own_step_where_the_image_was_published(packing: Bench) -> None:
    packing.build(plan())
    packing.build(packed())
    assert packing.ran == ["pack", "zip"]


def test_an_image_that_is_not_published_is_made_where_something_is_made_of_it_and_not_else(packing: Bench) -> None:
    packing.build(packed(published=False))
    assert not (packing.root / "out" / "image.raw").exists()
    packing.build(packed(published=False))
    assert packing.ran == []
    packing.build(packed("q", published=False))
    assert packing.ran == ["disk", "pack", "zip"]


def test_a_removed_artifact_alone_is_made_again(packing: Bench) -> None:
    packing.build(packed())
    (packing.root / "out" / "image.pack.zip").unlink()
    packing.build(packed())
    assert packing.ran == ["zip"]


def test_an_image_that_the_user_has_changed_is_not_what_others_are_made_of(packing: Bench) -> None:
    packing.build(plan())
    published = packing.root / "out" / "image.raw"
    published.write_text(published.read_text()[:-1] + "X")
    packing.build(packed())
    assert packing.ran == ["disk", "pack", "zip"]
    assert (packing.root / "out" / "image.pack").read_text() == "p(imageaababpi)"


@dataclass(frozen=True)
class WriteIntoInput:
    """What a user may do to a published image while something is made of it."""

    kind: ClassVar[str] = "test-write-into-input"
    version: ClassVar[int] = 1
    result: ClassVar[Kind] = Kind.ARTIFACT

    published: str

    def run(self, work: Work[None]) -> None:
        work.output.write_text(work.one("file").read_text())
        if work.one("file") == Path(self.published):
            Path(self.published).write_text("changed meanwhile")


def test_what_was_made_of_a_file_that_changed_meanwhile_is_made_again(packing: Bench) -> None:
    packing.build(plan())
    published = packing.root / "out" / "image.raw"
    step = Step("pack", WriteIntoInput(str(published)), (Input("file", "disk"),))
    packing.build(make_plan("test", [*(s.step for s in plan()), step], "", ["disk", "pack"]))
    assert packing.ran == ["pack", "disk", "pack"]
    assert (packing.root / "out" / "image.pack").read_text() == published.read_text() == "imageaababpi"


def test_a_goal_that_is_no_step_is_a_mistake_of_who_plans() -> None:
    with pytest.raises(ValueError, match="there is no step other"):
        make_plan("test", [s.step for s in plan()], "", ["other"])

"""What was damaged in the store is found, reported and made again, and never used."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

from os_image_composer.build.plan import Plan, make_plan
from os_image_composer.build.step import Input, Kind, Step, Work
from os_image_composer.chroot.ids import IdMap
from os_image_composer.chroot.job import Bind, Job, MakeSymlink, Tree, WriteFile
from os_image_composer.chroot.sandbox import Sandbox
from os_image_composer.config.settings import IdRange
from support.engine import Bench, Finish, Write


def plan(title: str = "image") -> Plan:
    """base ← config ← files ← image, all of which the image is made of."""
    return make_plan(
        "test",
        [
            Step("base", Write("a")),
            Step("config", Write("b"), (Input("lower", "base"),)),
            Step("files", Copy(), (Input("lower", "config"),)),
            Step("disk", Finish(title), (Input("lower", "base"), Input("lower", "config"), Input("lower", "files"))),
        ],
    )


@dataclass(frozen=True)
class Copy:
    kind: ClassVar[str] = "test-copy"
    version: ClassVar[int] = 1
    result: ClassVar[Kind] = Kind.FILES

    def run(self, work: Work[None]) -> None:
        text = "copy of " + (work.one("lower") / "text").read_text()
        (work.output / "text").write_text(text)
        (work.output / "sub" / "deeper").mkdir(parents=True)
        (work.output / "sub" / "deeper" / "text").write_text(text)


IMAGE = "otheraabcopy of ab"


def keeping_times(change: Callable[[Path], object], name: str = "text") -> Callable[[Path], object]:
    """On a file of the content, whose size and time are then as they were."""

    def run(result: Path) -> None:
        path = result / "content" / name
        status = path.stat()
        change(path)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    return run


def flip(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(bytes([data[0] ^ 1]) + data[1:])


def linked(path: Path) -> None:
    """In its place a link to a copy that is the same to the last byte and time."""
    there = path.with_name(f"{path.name}-elsewhere")
    path.rename(there)
    path.symlink_to(there.name)


def record(**fields: object) -> Callable[[Path], object]:
    def run(result: Path) -> None:
        path = result / "record.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | fields))

    return run


def gone(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def as_folder(path: Path) -> None:
    gone(path)
    path.mkdir()


def as_file(path: Path) -> None:
    gone(path)
    path.write_text("")


def nowhere(path: Path) -> None:
    path.unlink()
    path.symlink_to("gone")


CONTENT: dict[str, Callable[[Path], object]] = {
    "a flipped byte": lambda r: flip(r / "content/text"),
    "a flipped byte with its old time": keeping_times(flip),
    "a truncated file": lambda r: (r / "content/text").write_text(""),
    "a longer file": lambda r: (r / "content/text").write_text("longer"),
    "a missing file": lambda r: (r / "content/text").unlink(),
    "a file more": lambda r: (r / "content/more").write_text(""),
    "a folder more": lambda r: (r / "content/more").mkdir(),
    "another name": lambda r: (r / "content/text").rename(r / "content/Text"),
    "another time": lambda r: os.utime(r / "content/text", (1, 1)),
    "a link to the file": lambda r: linked(r / "content/text"),
    "a link that leads nowhere": lambda r: nowhere(r / "content/text"),
    "no content at all": lambda r: gone(r / "content"),
    "an empty content": lambda r: as_folder(r / "content"),
    "a link to the content": lambda r: linked(r / "content"),
    "a file for the content": lambda r: as_file(r / "content"),
    "a link to the result": linked,
    "a file for the result": as_file,
    "an empty result": as_folder,
}
DEEPER: dict[str, Callable[[Path], object]] = {
    "a flipped byte": lambda r: flip(r / "content/sub/deeper/text"),
    "a flipped byte with its old time": keeping_times(flip, "sub/deeper/text"),
    "a missing file": lambda r: (r / "content/sub/deeper/text").unlink(),
    "a file more": lambda r: (r / "content/sub/more").write_text(""),
    "a folder more": lambda r: (r / "content/sub/more").mkdir(),
    "another place": lambda r: (r / "content/sub/deeper/text").rename(r / "content/sub/text"),
    "a link to the folder": lambda r: linked(r / "content/sub/deeper"),
    "a file for the folder": lambda r: as_file(r / "content/sub/deeper"),
}
RECORDS: dict[str, Callable[[Path], object]] = {
    "half a record": lambda r: (r / "record.json").write_text((r / "record.json").read_text()[:40]),
    "an empty record": lambda r: (r / "record.json").write_text(""),
    "no record": lambda r: (r / "record.json").unlink(),
    "a record that is no text": lambda r: (r / "record.json").write_bytes(b"\xff\xfe"),
    "a record that is a folder": lambda r: as_folder(r / "record.json"),
    "a record that is a list": lambda r: (r / "record.json").write_text("[]"),
    "a record of another kind": record(kind="artifact"),
    "a record of no kind": record(kind="other"),
    "a record without digest": record(digest=None),
    "a record with another digest": record(digest="0" * 64),
    "a record with another fingerprint": record(fingerprint="0" * 64),
    "a record with a text for a number": record(clamp="never"),
    "a record with other inputs": record(inputs=[["lower", "0" * 64]]),
    "a record without inputs": record(inputs=None),
    "a record with odd inputs": record(inputs=7),
}
STEPS = ("base", "config", "files")


def result_of(bench: Bench, step: str) -> Path:
    return bench.layer(plan()[step].id).parent


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("name", [*CONTENT, *RECORDS])
def test_a_damaged_result_is_told_and_made_again_before_it_is_used(name: str, step: str, bench: Bench) -> None:
    bench.build(plan())
    (CONTENT | RECORDS)[name](result_of(bench, step))
    bench.build(plan("other"))
    assert bench.ran == [step, "disk"]
    assert [warning for warning in bench.warnings if f"step {step} " in warning]
    assert (bench.root / "out" / "image.raw").read_text() == IMAGE
    bench.build(plan("other"))
    assert (bench.ran, bench.warnings) == ([], [])
    assert not list((bench.root / "store" / "tmp").iterdir())


@pytest.mark.parametrize("name", [*CONTENT, *RECORDS])
def test_a_damaged_result_that_is_asked_for_is_made_again(name: str, bench: Bench) -> None:
    bench.build(plan())
    (CONTENT | RECORDS)[name](result_of(bench, "files"))
    outcome = bench.build(plan(), wanted=("files",))
    content = outcome.results["files"].content
    assert bench.ran == ["files"] and bench.warnings
    assert content is not None and (content / "text").read_text() == "copy of ab"


@pytest.mark.parametrize("name", DEEPER)
def test_damage_further_below_is_told_and_mended_too(name: str, bench: Bench) -> None:
    bench.build(plan())
    DEEPER[name](result_of(bench, "files"))
    bench.build(plan("other"))
    assert bench.ran == ["files", "disk"]
    assert [warning for warning in bench.warnings if "step files " in warning]
    assert (result_of(bench, "files") / "content/sub/deeper/text").read_text() == "copy of ab"


def test_results_that_have_changed_places_are_made_again(bench: Bench) -> None:
    bench.build(plan())
    one, other = result_of(bench, "base"), result_of(bench, "config")
    one.rename(bench.root / "aside")
    other.rename(one)
    (bench.root / "aside").rename(other)
    bench.build(plan("other"))
    assert bench.ran == ["base", "config", "disk"]
    assert len(bench.warnings) == 2
    assert (bench.root / "out" / "image.raw").read_text() == IMAGE


LINKS: dict[str, Callable[[Path, Path], object]] = {
    "of another step": lambda link, other: link.write_text(other.read_text()),
    "empty": lambda link, other: link.write_text(""),
    "cut": lambda link, other: link.write_text(link.read_text()[:20]),
    "no text": lambda link, other: link.write_bytes(b"\xff\0\xfe"),
    "a path": lambda link, other: link.write_text(f"../results/{link.read_text()}"),
    "missing": lambda link, other: link.unlink(),
}


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("name", LINKS)
def test_an_id_that_leads_elsewhere_leads_to_its_own_result_again(name: str, step: str, bench: Bench) -> None:
    """Nothing of the result itself is damaged, so nothing is made anew but the image that was asked for."""
    bench.build(plan())
    ids, other = bench.root / "store" / "ids", next(s for s in STEPS if s != step)
    LINKS[name](ids / plan()[step].id, ids / plan()[other].id)
    bench.build(plan("other"))
    assert bench.ran == ["disk"]
    assert (bench.root / "out" / "image.raw").read_text() == IMAGE
    assert (ids / plan()[step].id).read_text() == result_of(bench, step).name


NOTES = ["", "{", "[]", "null", '{"steps": 1}', '{"steps": [{}]}', '{"steps": [{"name": "disk"}]}', "\x00"]


@pytest.mark.parametrize("text", NOTES)
def test_a_damaged_note_of_the_last_plan_costs_its_explanation_only(text: str, bench: Bench) -> None:
    bench.build(plan())
    (bench.root / "store" / "plans" / "test.json").write_text(text)
    bench.build(plan("other"))
    assert bench.ran == ["disk"]
    assert bench.why["disk"] == "not built before"


SHELVES = ["", "{", "[]", "null", '{"DIGEST": 1}', '{"DIGEST": [1]}', '{"DIGEST": [{"path": 1}]}', '{"DIGEST": [{}]}']


@pytest.mark.parametrize("text", SHELVES)
def test_a_damaged_note_of_what_was_published_costs_a_look_at_the_image(text: str, bench: Bench) -> None:
    digest = bench.build(plan()).results["disk"].digest
    (bench.root / "published.json").write_text(text.replace("DIGEST", digest))
    bench.build(plan())
    assert bench.ran == []
    (bench.root / "published.json").write_text(text.replace("DIGEST", digest))
    (bench.root / "out" / "image.raw").unlink()
    bench.build(plan())
    assert bench.ran == ["disk"]


def test_a_published_image_with_a_flipped_byte_and_its_old_time_is_written_again(bench: Bench) -> None:
    bench.build(plan())
    image = bench.root / "out" / "image.raw"
    status, text = image.stat(), image.read_text()
    flip(image)
    os.utime(image, ns=(status.st_atime_ns, status.st_mtime_ns))
    bench.build(plan())
    assert bench.ran == ["disk"]
    assert image.read_text() == text


def test_an_image_that_was_published_elsewhere_and_changed_there_is_not_copied(bench: Bench) -> None:
    bench.build(plan())
    image = bench.root / "out" / "image.raw"
    elsewhere = image.rename(bench.root / "elsewhere.raw")
    index = bench.root / "published.json"
    index.write_text(index.read_text().replace(str(image), str(elsewhere)))
    status = elsewhere.stat()
    flip(elsewhere)
    os.utime(elsewhere, ns=(status.st_atime_ns, status.st_mtime_ns))
    bench.build(plan())
    assert bench.ran == ["disk"]


def test_modes_of_what_a_step_writes_do_not_follow_the_callers_umask(bench: Bench) -> None:
    """A program inside may be another user than the one who builds, and must be able to read it all the same."""
    before = os.umask(0o077)
    try:
        bench.build(make_plan("test", [Step("files", Modes()), Step("disk", Finish(), (Input("lower", "files"),))]))
        assert os.umask(0o077) == 0o077
    finally:
        os.umask(before)
    assert (bench.root / "out" / "image.raw").read_text() == "image0o755 0o644 0o755"


@dataclass(frozen=True)
class Modes:
    kind: ClassVar[str] = "test-modes"
    version: ClassVar[int] = 1
    result: ClassVar[Kind] = Kind.FILES

    def run(self, work: Work[None]) -> None:
        (work.scratch / "folder").mkdir()
        (work.scratch / "file").write_text("")
        paths = (work.scratch / "folder", work.scratch / "file", work.output)
        (work.output / "text").write_text(" ".join(oct(path.stat().st_mode & 0o7777) for path in paths))


# --- layers of real files: owners, modes, attributes ------------------------------------------------------------


@dataclass(frozen=True)
class Lay:
    """A layer with a file of everything."""

    kind: ClassVar[str] = "test-lay"
    version: ClassVar[int] = 1
    result: ClassVar[Kind] = Kind.TREE

    text: str

    def run(self, work: Work[Sandbox]) -> None:
        edits = [WriteFile("srv/text", self.text.encode()), WriteFile("srv/tool", b"tool" * 5000, 0o755)]
        work.services.edit(Tree(work.all("lower"), work.output), [*edits, MakeSymlink("srv/link", "text")])


@dataclass(frozen=True)
class Read:
    kind: ClassVar[str] = "test-read"
    version: ClassVar[int] = 1
    result: ClassVar[Kind] = Kind.ARTIFACT

    title: str

    def run(self, work: Work[Sandbox]) -> None:
        tree = Tree(work.all("lower"))
        work.output.write_text(self.title + work.services.read(tree, ["srv/text"])["srv/text"].decode())


def real_plan(title: str) -> Plan:
    steps = [Step("base", Lay("one")), Step("disk", Read(title), (Input("lower", "base"),))]
    return make_plan("real", steps)


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    folder = tmp_path_factory.mktemp("sandbox")
    (folder / "scratch").mkdir()
    yield Sandbox(IdMap.for_caller(IdRange(2_000_000_000, 65536)), folder / "scratch")


@pytest.fixture(scope="module")
def tiny(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The links of a merged /usr."""
    path = tmp_path_factory.mktemp("tiny") / "layer"
    sandbox.new_layer(path)
    names = [name for name in ("bin", "sbin", "lib", "lib64") if Path("/usr", name).exists()]
    sandbox.edit(Tree(upper=path), [MakeSymlink(name, f"usr/{name}") for name in names])
    yield path
    sandbox.remove([path])


@pytest.fixture
def real_bench(sandbox: Sandbox, tmp_path: Path) -> Iterator[Bench]:
    yield Bench(tmp_path, trees=sandbox, services=sandbox)
    sandbox.remove([tmp_path / "store"])


SHELL: dict[str, str] = {
    "a missing file": "rm /srv/tool",
    "a file more": "touch -d @5 /srv/more",
    "a truncated file": "truncate -s 100 /srv/tool; touch -d @5 /srv/tool",
    "a mode": "chmod 0700 /srv/tool",
    "a setuid bit": "chmod u+s /srv/tool",
    "a folder's mode": "chmod 0700 /srv",
    "an owner": "chown 7 /srv/tool",
    "a group": "chgrp 7 /srv/tool",
    "a link's owner": "chown -h 7 /srv/link",
    "a folder's owner": "chown 7 /srv",
    "a capability": "setcap cap_net_raw=ep /srv/tool",
    "an attribute": 'python3 -c \'import os; os.setxattr("/srv/tool", "user.note", b"x")\'',
    "a link's target": "ln -sfn tool /srv/link; touch -h -d @5 /srv/link /srv",
    "a hard link": "ln -f /srv/tool /srv/link; touch -d @5 /srv/link /srv",
    "a flipped byte with its old time": "printf X | dd of=/srv/tool bs=1 seek=9000 conv=notrunc; touch -d @5 /srv/tool",
    "a file for a folder": "rm -r /srv; touch /srv",
    "a whiteout's place": "rm /srv/text; mkdir /srv/text; touch -d @5 /srv",
}


@pytest.mark.parametrize("name", SHELL)
def test_a_damaged_layer_is_told_and_made_again_before_it_is_used(
    name: str, real_bench: Bench, sandbox: Sandbox, tiny: Path
) -> None:
    bench = real_bench
    bench.build(real_plan("first "))
    layer = bench.layer(real_plan("")["base"].id)
    done = sandbox.run(
        Job(Tree((tiny,), layer), ("sh", "-ec", f"exec 2>&1; {SHELL[name]}"), (Bind(Path("/usr"), "/usr"),))
    )
    assert done.status == 0, done.output
    bench.build(real_plan("second "))
    assert bench.ran == ["base", "disk"]
    assert [warning for warning in bench.warnings if "step base " in warning]
    assert (bench.root / "out" / "image.raw").read_text() == "second one"

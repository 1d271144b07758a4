"""`build --verify`: the same plan a second time, from an empty store, and what differs.

The second build has the packages, the lock and the password hashes of the first, and nothing else of it. It lies in a
folder for unfinished work, so nothing of it stays, whatever happens. Where the images differ, the layers of both are
still there: the steps whose inputs were equal and whose results are not are where it began.
"""

from __future__ import annotations

import contextlib
import json
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from os_image_composer.build.canonical import sha256_file
from os_image_composer.build.files import entries
from os_image_composer.build.plan import Plan
from os_image_composer.build.step import Kind, Result
from os_image_composer.build.store import Store
from os_image_composer.chroot.job import Tree
from os_image_composer.chroot.sandbox import Sandbox
from os_image_composer.errors import ComposerError, StepError
from os_image_composer.provider.manifest import dump_manifest
from os_image_composer.report.compare import compare
from os_image_composer.report.why_different import Made, likely_reason

_MOST = 50  # files of a step that are named
_LARGEST = 64 << 20  # bytes of a file whose reason is looked for
_FIELDS = ("type, mode or owner", "time", "size", "hard link", "content")


@dataclass(frozen=True)
class DifferentFile:
    """`what` of it differs, and the likely `reason`."""

    path: str
    what: str
    reason: str


@dataclass(frozen=True)
class DifferentStep:
    """A step that made something else of equal inputs; `more` counts files that are not named."""

    name: str
    files: tuple[DifferentFile, ...]
    more: int = 0


@dataclass(frozen=True)
class Verdict:
    """`steps` in plan order, empty when the second build gave the same bits; `seconds` is what it took."""

    steps: tuple[DifferentStep, ...]
    seconds: float

    @property
    def equal(self) -> bool:
        return not self.steps

    def lines(self) -> Iterator[str]:
        for step in self.steps:
            for file in step.files:
                yield f"step {step.name}: {file.path}: {file.what} differs: {file.reason}"
            if step.more:
                yield f"step {step.name}: and {step.more} more"

    def to_json(self) -> dict[str, Any]:
        """For the manifest."""
        return {"equal": self.equal, "seconds": round(self.seconds, 1), "differences": list(self.lines())}

    def error(self) -> ComposerError:
        """What a build that was to be verified fails with."""
        lines = tuple(self.lines())
        return StepError(
            "not-reproducible",
            "a second build from an empty store gave other bits; the first one's image stays where it is",
            cause=lines[0] if lines else None,
            detail=lines,
            hint="docs/reproducible.md tells how to mend what a template's own commands and files do",
        )


@dataclass(frozen=True)
class Side:
    """One of the two builds: what each step made, where the artifacts are, and the folder that only this build has."""

    results: Mapping[str, Result]
    files: Mapping[str, Path]
    folder: Path

    def made(self, content: Path) -> Made:
        """When a result of this build was finished, and what may show in it."""
        finished = content.parent.stat().st_mtime
        return Made(finished, finished, ((str(self.folder), "the folder of the build"),))


def side(store: Store, plan: Plan, made: Mapping[str, Result], files: Mapping[str, Path], folder: Path) -> Side:
    """Of a build of `plan` that gave `made`, and whose other results are in `store`; `files` are its artifacts."""
    found = {step.name: store.by_id(step.id) for step in plan}
    results = {name: result for name, result in found.items() if result is not None}
    return Side({**results, **made}, files, folder)


def differing(plan: Plan, one: Side, other: Side, sandbox: Sandbox) -> tuple[DifferentStep, ...]:
    """The steps of `plan` where the difference between two builds of it began."""
    changed: set[str] = set()
    found: list[DifferentStep] = []
    for planned in plan:
        ours, theirs = one.results.get(planned.name), other.results.get(planned.name)
        if ours is None or theirs is None or ours.digest == theirs.digest:
            continue  # what the first store has lost cannot be compared; its consequences can
        if not changed & {i.step for i in planned.step.inputs}:
            files = tuple(_files(planned.name, ours, theirs, one, other, sandbox))
            found.append(DifferentStep(planned.name, files[:_MOST], max(0, len(files) - _MOST)))
        changed.add(planned.name)
    return tuple(found)


def _files(
    step: str, ours: Result, theirs: Result, one: Side, other: Side, sandbox: Sandbox
) -> Iterator[DifferentFile]:
    if ours.kind is Kind.ARTIFACT or ours.content is None or theirs.content is None:
        return _of_artifacts(one.files.get(step), other.files.get(step))
    if ours.kind is Kind.FILES:
        return _of_folders(ours.content, theirs.content, one, other)
    return _of_layers(ours, theirs, one, other, sandbox)


def _of_artifacts(a: Path | None, b: Path | None) -> Iterator[DifferentFile]:
    """Raw disks are looked into. One that is not published is gone; another format is only made of a disk or a tree."""
    if a is None or b is None or a.suffix != ".raw":
        yield DifferentFile(a.name if a else "the file", "content", "by a rule that is not known")
        return
    for difference in compare(a, b).differences:
        yield DifferentFile(difference.where, difference.kind, f"{difference.a} and {difference.b}")


def _of_folders(a: Path, b: Path, one: Side, other: Side) -> Iterator[DifferentFile]:
    here, there = ({name for name, path, _ in entries(folder) if not path.is_dir()} for folder in (a, b))
    for name in sorted(here | there):
        x, y = a / name, b / name
        if name not in here or name not in there:
            yield DifferentFile(name, "presence", "only one of the two builds has it")
        elif sha256_file(x) != sha256_file(y):
            yield DifferentFile(name, "content", likely_reason(_start(x), _start(y), one.made(a), other.made(b)))


def _start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_LARGEST)


def _of_layers(ours: Result, theirs: Result, one: Side, other: Side, sandbox: Sandbox) -> Iterator[DifferentFile]:
    assert ours.content is not None and theirs.content is not None
    a, b = sandbox.entries(ours.content, ours.clamp), sandbox.entries(theirs.content, theirs.clamp)
    for path in sorted(a.keys() | b.keys()):
        x, y = a.get(path), b.get(path)
        if x == y:
            continue
        if x is None or y is None:
            yield DifferentFile(path, "presence", "only one of the two builds has it")
            continue
        what = _what(x, y)
        yield DifferentFile(path, what, _reason(path, what, ours.content, theirs.content, one, other, sandbox))


def _what(x: tuple[str, ...], y: tuple[str, ...]) -> str:
    """What counts most of that in which two entries differ."""
    if x[0] != y[0]:
        return _FIELDS[0]
    if x[0].startswith("file"):
        names = [name for name, p, q in zip(_FIELDS, x, y, strict=False) if p != q]
        return "content" if "size" in names or "content" in names else (names or ["attributes"])[0]
    return "time" if x[1] != y[1] else "target or attributes"


def _reason(path: str, what: str, a: Path, b: Path, one: Side, other: Side, sandbox: Sandbox) -> str:
    if what == "content":
        with contextlib.suppress(StepError):  # too large
            contents = [sandbox.read(Tree((layer,)), [path], _LARGEST)[path] for layer in (a, b)]
            return likely_reason(contents[0], contents[1], one.made(a), other.made(b))
    if what == "time":
        return "it was given the time of the build, or a time that a program read from elsewhere"
    return "by a rule that is not known"


def note_in_manifest(manifest: Path, verdict: Verdict) -> None:
    """Put the verdict into the section that tells of the one build."""
    value = json.loads(manifest.read_text())
    value["build"]["verified"] = verdict.to_json()
    temporary = manifest.with_name(f".{manifest.name}.{secrets.token_hex(4)}")
    temporary.write_text(dump_manifest(value))
    temporary.replace(manifest)

"""An engine without packages or sandboxes: trees are plain folders, steps write small files."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from os_image_composer.build.clock import Span, SystemClock
from os_image_composer.build.events import Event, Note, StepStarted
from os_image_composer.build.execute import Execution, Outcome
from os_image_composer.build.plan import Plan
from os_image_composer.build.shelf import Shelf
from os_image_composer.build.step import Kind, Work
from os_image_composer.build.store import Store, Trees

NAMES = {"disk": "image.raw"}


@dataclass(frozen=True)
class PlainDigest:
    sha256: str


class PlainTrees:
    """`build.store.Trees` for folders that belong to the caller."""

    def new_layer(self, path: Path) -> None:
        path.mkdir()

    def digest(self, path: Path, clamp: int) -> PlainDigest:
        rows = [f"{p.relative_to(path)}\0{p.read_text() if p.is_file() else ''}" for p in sorted(path.rglob("*"))]
        return PlainDigest(hashlib.sha256("\n".join(rows).encode()).hexdigest())

    def settle(self, path: Path, clamp: int, written: Span) -> PlainDigest:
        return self.digest(path, clamp)

    def fingerprint(self, paths: Sequence[Path]) -> tuple[str, ...]:
        return tuple(
            str(sorted((str(f.relative_to(p)), f.lstat().st_size, f.lstat().st_mtime_ns) for f in p.rglob("*")))
            for p in paths
        )

    def remove(self, paths: Sequence[Path]) -> None:
        for path in paths:
            shutil.rmtree(path, ignore_errors=True)


@dataclass(frozen=True)
class Write:
    """Write `text` and all inputs' texts into a tree; `shown` says how much of the inputs it copies."""

    kind: ClassVar[str] = "test-write"
    version: ClassVar[int] = 1
    result: ClassVar[Kind] = Kind.TREE

    text: str
    shown: int = 1000

    def run(self, work: Work[None]) -> None:
        work.say(f"writing {self.text}")
        below = "".join((path / "text").read_text() for path in work.all("lower"))
        (work.output / "text").write_text(below[: self.shown] + self.text)


@dataclass(frozen=True)
class Finish:
    kind: ClassVar[str] = "test-finish"
    version: ClassVar[int] = 1
    result: ClassVar[Kind] = Kind.ARTIFACT

    title: str = "image"

    def run(self, work: Work[None]) -> None:
        work.output.write_text(self.title + "".join((p / "text").read_text() for p in work.all("lower")))


@dataclass
class Bench:
    """Runs plans against one store and remembers which steps ran."""

    root: Path
    ran: list[str] = field(default_factory=list)
    notes: list[Event] = field(default_factory=list)
    why: dict[str, str] = field(default_factory=dict)
    stopped: bool = False
    trees: Trees = field(default_factory=PlainTrees)
    services: Any = None
    names: Mapping[str, str] = field(default_factory=lambda: NAMES)  # of the files of artifacts, by step

    @property
    def store(self) -> Store:
        return Store(self.root / "store", self.trees, 0, self.root / "store" / "tmp")

    @property
    def warnings(self) -> list[str]:
        """What the last build warned of."""
        return [event.message for event in self.notes if isinstance(event, Note) and event.level == "warning"]

    def layer(self, step_id: str) -> Path:
        """Where the store has the layer of a step."""
        result = self.store.by_id(step_id)
        assert result is not None and result.content is not None
        return result.content

    def shelf(self, staging: Path) -> Shelf:
        return Shelf(self.root / "published.json", staging, self.root / "out", self.names)

    def build(self, plan: Plan, wanted: Sequence[str] = ()) -> Outcome:
        """Build and publish; `ran` then lists the steps that ran, in the order in which they started. `wanted` are
        steps whose results are asked for beside the last one."""
        self.ran, self.notes, self.why = [], [], {}
        staging = self.root / "staging"
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir()
        (self.root / "out").mkdir(exist_ok=True)
        shelf = self.shelf(staging)
        outcome = self.execution(plan, staging, wanted).run()
        for step in plan.goals:
            if outcome.files.get(step) == shelf.staged(step):
                outcome.files[step].replace(shelf.wanted(step))
                shelf.note(shelf.wanted(step), outcome.results[step].digest)
        return outcome

    def execution(self, plan: Plan, staging: Path, wanted: Sequence[str] = ()) -> Execution[Any]:
        """A run of `plan` that has not begun."""
        return Execution(
            plan,
            self.store,
            self.services,
            self.shelf(staging),
            listener=self._hear,
            clock=SystemClock(),
            workers=2,
            stop=self._stop,
            wanted=wanted,
        )

    def _stop(self) -> None:
        self.stopped = True

    def _hear(self, event: Event) -> None:
        if isinstance(event, StepStarted):
            self.ran.append(event.step)
            self.why[event.step] = event.why
        self.notes.append(event)

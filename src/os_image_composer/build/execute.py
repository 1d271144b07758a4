"""Run a plan: reuse what the store has, run the rest side by side, keep every result.

Backwards from the final step: one whose id the store knows needs nothing that comes before it. Forwards from there:
a step is looked up once more by the content of its inputs, so that an input made again with the same content stops
the rebuild there.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, TextIO

from os_image_composer.build.canonical import sha256_file
from os_image_composer.build.clock import Clock, Span
from os_image_composer.build.events import Event, Listener, Note, Output, StepFinished, StepStarted
from os_image_composer.build.explain import explain
from os_image_composer.build.inventory import note_use
from os_image_composer.build.plan import Plan, PlannedStep
from os_image_composer.build.shelf import Shelf, is_full, output_full
from os_image_composer.build.step import Kind, Result, S, Step, Work, content_key, is_of
from os_image_composer.build.store import Store
from os_image_composer.errors import ComposerError, StepError

_OWN_WORDS = ("cache-full", "output-full")


class _DamagedInputError(Exception):
    """An input's bytes are not what its record says; it has been discarded, the run starts over."""


@dataclass(frozen=True)
class StepReport:
    """How a step came to its result: `outcome` is ran, reused, or skipped when nothing needed it."""

    name: str
    id: str
    outcome: str
    seconds: float
    why: str


@dataclass(frozen=True)
class Outcome:
    """`results` are those of the plan's goals and of what was asked for beside them, by step; `files` are where the
    bytes of those among them are that the store remembers by digest only."""

    results: Mapping[str, Result]
    files: Mapping[str, Path]
    steps: tuple[StepReport, ...]


@dataclass
class _Progress:
    results: dict[str, Result] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)  # of artifacts, by step
    reports: dict[str, StepReport] = field(default_factory=dict)


@dataclass(frozen=True)
class Forecast:
    """What a build would do with a step: `reused`, `runs`, or `maybe` when it depends on what earlier steps give."""

    name: str
    id: str
    verdict: str
    why: str


class Execution(Generic[S]):
    """One run of one plan. `stop` is called when the run is given up, to end programs that still run; `wanted` are
    steps whose results are asked for beside the plan's goals."""

    def __init__(
        self,
        plan: Plan,
        store: Store,
        services: S,
        shelf: Shelf,
        *,
        listener: Listener,
        clock: Clock,
        workers: int,
        stop: Callable[[], None],
        wanted: Sequence[str] = (),
    ) -> None:
        self.plan = plan
        self.wanted = tuple(wanted)
        self.store = store
        self.services = services
        self.shelf = shelf
        self.listener = listener
        self.clock = clock
        self.workers = workers
        self.stop = stop
        self._verified: set[str] = set()
        self._verifying = threading.Lock()
        self.reasons = explain(plan, store.last_plan(plan.name))

    def run(self) -> Outcome:
        """Make what the plan is for. Raises ComposerError of the first step that fails; finished steps stay."""
        self.store.scratch.sweep()
        with _usual_umask():
            return self._run_all()

    def _run_all(self) -> Outcome:
        for _ in range(3):
            progress = _Progress()
            try:
                self._attempt(progress)
                self._check_wanted(progress)
            except _DamagedInputError:
                continue
            self.store.note_plan(self.plan)
            note_use(self.store.root, self.plan, self.clock.now())
            return self._outcome(progress)
        raise StepError(
            "store-keeps-changing",
            "the store changes while it is used",
            hint="see whether another program writes into the cache folder",
        )

    # -- one attempt -----------------------------------------------------------------------------------------

    def _attempt(self, progress: _Progress) -> None:
        waiting = self._needed(progress)
        running: dict[Future[Result], str] = {}
        with ThreadPoolExecutor(max_workers=self.workers, thread_name_prefix="step") as pool:
            try:
                while waiting or running:
                    for step in [s for s in waiting if self._ready(s, progress)]:
                        waiting.remove(step)
                        running[pool.submit(self._obtain, step, progress)] = step.name
                    done, _ = wait(running, return_when=FIRST_COMPLETED)
                    for future in done:
                        progress.results[running.pop(future)] = future.result()
            except _DamagedInputError:
                raise  # the run goes on with another attempt; what still runs may finish
            except BaseException:
                self.stop()
                raise

    def _needed(self, progress: _Progress) -> list[PlannedStep]:
        """The steps to obtain, in plan order; results of all their other inputs go into `progress`."""
        needed: dict[str, PlannedStep] = {}
        pending = [self.plan[name] for name in (*self.wanted, *self.plan.goals)]
        while pending:
            step = pending.pop()
            if step.name in needed or step.name in progress.results:
                continue
            found = self._known(step, progress)
            if found is not None and self._sound(found):
                progress.results[step.name] = found
                self._report(progress, step, "reused", 0.0, "unchanged")
                continue
            if found is not None:
                self._give_up(step.name, found, self.store.damaged)
            needed[step.name] = step
            pending += [self.plan[i.step] for i in step.step.inputs]
        return [s for s in self.plan if s.name in needed]

    def _known(self, step: PlannedStep, progress: _Progress) -> Result | None:
        found = self.store.by_id(step.id)
        if found is None or not is_of(step.step, found, self.plan.engine):
            return None  # what lies there, if anything does, is looked at once more by its key
        return found if self._has_bytes(step.name, found, progress) else None

    def _has_bytes(self, name: str, found: Result, progress: _Progress) -> bool:
        """Whether what the store only remembers is still somewhere; `progress` then has the place."""
        if found.kind is not Kind.ARTIFACT:
            return True
        path = self.shelf.find(name, found.digest, found.size)
        if path is not None:
            progress.files[name] = path
        return path is not None

    def _sound(self, found: Result) -> bool:
        return found.kind is Kind.ARTIFACT or not self.store.damaged([found])

    def _give_up(self, name: str, found: Result, bad: Callable[[Sequence[Result]], Sequence[Result]]) -> None:
        """Discard a result that was seen to be damaged, unless another build has made it anew meanwhile. Locks are
        taken from a step towards what it starts from, never the other way: nobody waits in a circle."""
        with self.store.running(found.key):
            now = self.store.by_key(found.key)
            if now is not None and bad([now]):
                self._discard(name, now.key)

    def _discard(self, name: str, key: str) -> None:
        """The lock of the key is held."""
        self._verified.discard(key)
        self.listener(Note("warning", f"the stored result of step {name} was damaged; it is made again"))
        self.store.discard(key)

    @staticmethod
    def _ready(step: PlannedStep, progress: _Progress) -> bool:
        return all(i.step in progress.results for i in step.step.inputs)

    def _obtain(self, planned: PlannedStep, progress: _Progress) -> Result:
        """In a worker thread: the step's result, by its content key or by running it."""
        step = planned.step
        inputs = tuple((i.role, progress.results[i.step]) for i in step.inputs)
        key = content_key(step, tuple(result.digest for _, result in inputs), self.plan.engine)
        started = self.clock.elapsed()
        with self.store.running(key):
            found = self.store.by_key(key)
            of_another = found is not None and not is_of(step, found, self.plan.engine)
            if of_another or self.store.unusable(key) or (found is not None and not self._sound(found)):
                self._discard(step.name, key)
                found = None
            if found is not None and not self._has_bytes(step.name, found, progress):
                found = None
            if found is not None:
                self.store.link(planned.id, key)
                self._report(progress, planned, "reused", self._since(started), "its inputs have the same content")
                return found
            self._check_bytes(step, progress)
            why = self.reasons[step.name]
            self.listener(StepStarted(step.name, why))
            try:
                result = self._run(planned, key, inputs, progress)
            except BaseException:
                self.listener(StepFinished(step.name, "failed", self._since(started)))
                raise
        self._verified.add(result.key)
        self.store.link(planned.id, key)
        self._report(progress, planned, "ran", self._since(started), why)
        return result

    def _check_bytes(self, step: Step, progress: _Progress) -> None:
        """Nothing is made of, or run from, what is not as it was left: not the image only, also what is kept for
        later builds. Each result is read once a run."""
        with self._verifying:
            names = {i.step: progress.results[i.step] for i in step.inputs}
            names = {name: result for name, result in names.items() if result.key not in self._verified}
            changed = self.store.changed(list(names.values()))
            self._verified.update(result.key for result in names.values() if result not in changed)
        for name, result in names.items():
            if result in changed:
                self._give_up(name, result, self.store.changed)
        if changed:
            raise _DamagedInputError

    def _check_wanted(self, progress: _Progress) -> None:
        """What leaves the store is checked as what goes into an image is."""
        results = {name: progress.results[name] for name in self.wanted}
        fresh = [result for result in results.values() if result.key not in self._verified]
        changed = self.store.changed(fresh) if fresh else ()
        for name, result in results.items():
            if result in changed:
                self._give_up(name, result, self.store.changed)
        if changed:
            raise _DamagedInputError
        self._verified.update(result.key for result in fresh)

    def _run(self, planned: PlannedStep, key: str, inputs: Sequence[tuple[str, Result]], progress: _Progress) -> Result:
        step = planned.step
        given = tuple(
            (i.role, replace(result, content=progress.files[i.step]) if result.kind is Kind.ARTIFACT else result)
            for i, (_, result) in zip(step.inputs, inputs, strict=True)
        )
        about: dict[str, Any] = {
            "step": step.name,
            "action": step.action.kind,
            "version": step.action.version,
            "inputs": [[role, r.digest] for role, r in inputs],
        }
        kind = step.action.result
        began, started = self.clock.now(), self.clock.elapsed()
        with self.store.workspace(kind) as workspace:
            output = self.shelf.staged(step.name) if kind is Kind.ARTIFACT else workspace.output
            log = self.store.log(self.plan.name, step.name)
            if kind is Kind.ARTIFACT:
                output.unlink(missing_ok=True)
            try:
                with log.open("w", encoding="utf-8", errors="surrogateescape") as stream:
                    say = functools.partial(self._say, step.name, stream)
                    step.action.run(Work(self.services, given, output, workspace.scratch, say))
            except ComposerError as error:
                self._look_for_room(error, log)
                if log.stat().st_size:
                    error.detail = (*error.detail, f"the whole output: {log}")
                raise
            except OSError as error:
                if kind is Kind.ARTIFACT and error.errno == errno.ENOSPC and is_full(output.parent):
                    raise output_full(output) from error
                raise StepError(
                    "step-failed",
                    f"step {step.name} failed",
                    cause=f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}",
                    hint="free some disk space" if error.errno == errno.ENOSPC else None,
                ) from error
            self._check_files(step, progress)
            if kind is Kind.ARTIFACT:
                progress.files[step.name] = output
                return self.store.remember(key, sha256_file(output), output.stat().st_size, about)
            # By the clock that it began with: one that is set right meanwhile leaves those dates alone.
            return self.store.keep(key, kind, workspace, about, Span(began, began + self._since(started)))

    def _check_files(self, step: Step, progress: _Progress) -> None:
        """A published file that a step started from belongs to the user, who may have written into it meanwhile."""
        for name in {i.step for i in step.inputs} & progress.files.keys():
            result, path = progress.results[name], progress.files[name]
            if path != self.shelf.staged(name) and self.shelf.find(name, result.digest, result.size) != path:
                raise _DamagedInputError

    def _look_for_room(self, error: ComposerError, log: Path) -> None:
        """A program may say that the disk is full long before its last line, or not at all, and may leave room behind
        when it gives up."""
        if error.reference in _OWN_WORDS:
            return
        full = os.strerror(errno.ENOSPC)  # as programs say it: they run in the C locale
        said = full in (error.cause or "") or full in log.read_text("utf-8", "replace")
        if said or is_full(self.store.root):
            error.hint = f"no space is left in {self.store.root}: free some, or set cache_dir to a larger filesystem"

    # -- telling ---------------------------------------------------------------------------------------------

    def _since(self, started: float) -> float:
        return self.clock.elapsed() - started

    def _say(self, name: str, stream: TextIO, line: str) -> None:
        stream.write(f"{line}\n")
        self.listener(Output(name, line))

    def _report(self, progress: _Progress, step: PlannedStep, outcome: str, seconds: float, why: str) -> None:
        progress.reports[step.name] = StepReport(step.name, step.id, outcome, seconds, why)
        event: Event = StepFinished(step.name, outcome, seconds, why if outcome == "reused" else "")
        self.listener(event)

    def _outcome(self, progress: _Progress) -> Outcome:
        reports = tuple(
            progress.reports.get(s.name, StepReport(s.name, s.id, "skipped", 0.0, "nothing needs it"))
            for s in self.plan
        )
        results = {name: progress.results[name] for name in (*self.plan.goals, *self.wanted)}
        files = {name: path for name, path in progress.files.items() if name in results}
        return Outcome(results, files, reports)


@contextlib.contextmanager
def _usual_umask() -> Iterator[None]:
    """What a step writes, and what is mounted for it, has the modes that it has for everybody: programs inside that
    are not root must be able to read it, and must be so whoever builds. The cache is closed to others as a whole."""
    before = os.umask(0o022)
    try:
        yield
    finally:
        os.umask(before)


def forecast(plan: Plan, store: Store, shelf: Shelf) -> tuple[Forecast, ...]:
    """What a build of `plan` would do, step by step, without doing it."""
    reasons = explain(plan, store.last_plan(plan.name))
    results: dict[str, Result] = {}
    verdicts: list[Forecast] = []
    for planned in plan:
        found = store.by_id(planned.id)
        inputs = [results.get(i.step) for i in planned.step.inputs]
        whole = [r for r in inputs if r is not None]
        if found is None and len(whole) == len(inputs):
            found = store.by_key(content_key(planned.step, tuple(r.digest for r in whole), plan.engine))
        if found is not None and not is_of(planned.step, found, plan.engine):
            found = None
        artifact = found is not None and found.kind is Kind.ARTIFACT
        if found is not None and artifact and not shelf.find(planned.name, found.digest, found.size):
            found = None
        if found is not None:
            results[planned.name] = found
            verdicts.append(Forecast(planned.name, planned.id, "reused", "unchanged"))
        else:
            sure = len(whole) == len(inputs)
            verdicts.append(Forecast(planned.name, planned.id, "runs" if sure else "maybe", reasons[planned.name]))
    return tuple(verdicts)

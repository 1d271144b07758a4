"""The plan: all steps in an order in which they can run, each with its id. Pure; making one touches nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from os_image_composer.build.step import Step, step_id


@dataclass(frozen=True)
class PlannedStep:
    step: Step
    id: str

    @property
    def name(self) -> str:
        return self.step.name


@dataclass(frozen=True)
class Plan:
    """`name` tells plans of different images apart (a miss is explained against the last plan of that name);
    `goals` are the names of the steps that make what the build is for. `engine` is what runs them all, by version
    (see `step_id`)."""

    name: str
    engine: str
    steps: tuple[PlannedStep, ...]
    goals: tuple[str, ...]

    def __iter__(self) -> Iterator[PlannedStep]:
        return iter(self.steps)

    def __getitem__(self, name: str) -> PlannedStep:
        for planned in self.steps:
            if planned.name == name:
                return planned
        raise KeyError(name)

    def to_json(self) -> dict[str, Any]:
        """The plan as plain values: what a dry run prints and what the next build compares with."""
        return {
            "name": self.name,
            "engine": self.engine,
            "steps": [_step_json(self, planned) for planned in self.steps],
        }


def make_plan(name: str, steps: Iterable[Step], engine: str = "", goals: Iterable[str] = ()) -> Plan:
    """Give every step its id; without `goals` the last one is for what the build is. Raises ValueError when a step
    names an input that does not come before it, and for a goal that is no step."""
    planned: dict[str, PlannedStep] = {}
    for step in steps:
        if step.name in planned:
            raise ValueError(f"two steps are named {step.name}")
        missing = [i.step for i in step.inputs if i.step not in planned]
        if missing:
            raise ValueError(f"step {step.name} needs {missing[0]}, which does not come before it")
        ids = tuple(planned[i.step].id for i in step.inputs)
        planned[step.name] = PlannedStep(step, step_id(step, ids, engine))
    aims = tuple(goals) or tuple(planned)[-1:]
    unknown = [aim for aim in aims if aim not in planned]
    if unknown:
        raise ValueError(f"there is no step {unknown[0]}")
    return Plan(name, engine, tuple(planned.values()), aims)


def _step_json(plan: Plan, planned: PlannedStep) -> dict[str, Any]:
    step = planned.step
    return {
        "name": step.name,
        "id": planned.id,
        "kind": step.action.kind,
        "version": step.action.version,
        "options": step.options(),
        "inputs": [{"role": i.role, "step": i.step, "id": plan[i.step].id} for i in step.inputs],
    }

"""A step: what is done, from what, under which id.

The id is a hash of the action's kind, version and options and of the ids of its inputs. It is true only because
an action sees nothing else: `Work` hands it its declared inputs and the services, and the sandbox mounts no more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from os_image_composer.build.canonical import canonical_json, plain, sha256_text

S = TypeVar("S")


class Kind(Enum):
    """What a step leaves: a layer of a root filesystem, a folder of files, or one large file that is published, such
    as an image, which the store remembers by digest only."""

    TREE = "tree"
    FILES = "files"
    ARTIFACT = "artifact"


@dataclass(frozen=True)
class Input:
    """A result of an earlier step. Several inputs may share a role; their order then counts (layers, lowest first)."""

    role: str
    step: str


@dataclass(frozen=True)
class Result:
    """What the store has of a finished step. `digest` names the content, `key` the step and its inputs' content.
    `content` is a layer, a folder of files, or None for an artifact, of which `size` (bytes) is kept; the step that
    starts from an artifact gets the place of the file here. `clamp` (seconds since the epoch) is the latest time that
    counts in `digest`; `made_from` are the digests of the inputs."""

    key: str
    kind: Kind
    digest: str
    content: Path | None
    fingerprint: str = ""
    size: int = 0
    clamp: int = 0
    made_from: tuple[str, ...] = ()


class Work(Generic[S]):
    """What an action may touch while it runs: its inputs by role, `output` to fill, `scratch` to throw away."""

    def __init__(
        self,
        services: S,
        inputs: tuple[tuple[str, Result], ...],
        output: Path,
        scratch: Path,
        say: Callable[[str], None],
    ) -> None:
        self.services = services
        self._inputs = inputs
        self.output = output
        self.scratch = scratch
        self.say = say

    def all(self, role: str) -> tuple[Path, ...]:
        """The contents of all inputs of `role`, in the order they were declared."""
        return tuple(r.content for name, r in self._inputs if name == role and r.content is not None)

    def one(self, role: str) -> Path:
        (path,) = self.all(role)
        return path

    def digest(self, role: str) -> str:
        """Of the one input of `role`; of a file its SHA-256."""
        (digest,) = (r.digest for name, r in self._inputs if name == role)
        return digest


class Action(Protocol):
    """A frozen dataclass whose fields are the step's options. `version` goes up when the same options give other
    bytes; a test watches the source of the module and asks."""

    kind: ClassVar[str]
    version: ClassVar[int]
    result: ClassVar[Kind]

    def run(self, work: Work[Any]) -> None:
        """Fill `work.output` (an empty layer, an empty folder, or the path of a file to be written)."""


@dataclass(frozen=True)
class Step:
    """An action under the name that plans, logs and other steps call it by."""

    name: str
    action: Action
    inputs: tuple[Input, ...] = ()

    def options(self) -> dict[str, Any]:
        """The action's fields, as plain JSON values."""
        value = plain(self.action)
        assert isinstance(value, dict)
        return value


def step_id(step: Step, input_ids: tuple[str, ...], engine: str) -> str:
    """Hex SHA-256 over what the step does, the ids of what it starts from, and what runs it: `engine` names the
    version of the surroundings that every step shares and no option names."""
    return _hash(step, input_ids, engine)


def content_key(step: Step, digests: tuple[str, ...], engine: str) -> str:
    """As `step_id`, over the digests of the inputs' contents: equal keys mean equal work, even where an input was
    made again in another way."""
    return _hash(step, digests, engine)


def is_of(step: Step, result: Result, engine: str) -> bool:
    """Whether a result that the store has is one of this step: of its kind, and what its record says it was made from
    gives the key that it lies under. One that was moved, or that another id leads to, is not."""
    if result.kind is not step.action.result:
        return False
    return len(result.made_from) == len(step.inputs) and content_key(step, result.made_from, engine) == result.key


def _hash(step: Step, inputs: tuple[str, ...], engine: str) -> str:
    action = step.action
    return sha256_text(
        canonical_json(
            {
                "engine": engine,
                "kind": action.kind,
                "version": action.version,
                "options": step.options(),
                "inputs": [[i.role, value] for i, value in zip(step.inputs, inputs, strict=True)],
            }
        )
    )

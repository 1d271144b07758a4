"""The content store: results of steps by key, and which id asked for which key.

    results/<key>/record.json, results/<key>/content    a finished step
    ids/<id>                                            the key that a plan's id stands for
    plans/<name>.json                                   the last plan built under a name
    logs/<name>/<step>.log                              what a step's programs printed when it last ran
    locks/<key>                                         held by the build that runs this step

Whatever is here was made under a temporary name and renamed, so it is whole or absent. Nothing is trusted for
being here: names, sizes and times are compared before use, bytes before they are published.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from os_image_composer.build.clock import Span
from os_image_composer.build.files import files_digest, files_fingerprint, is_folder
from os_image_composer.build.flock import locked
from os_image_composer.build.plan import Plan
from os_image_composer.build.scratch import Scratch
from os_image_composer.build.step import Kind, Result
from os_image_composer.errors import StoreError

_KEY = re.compile(r"[0-9a-f]{64}")


class Digest(Protocol):
    @property
    def sha256(self) -> str: ...


class Trees(Protocol):
    """What the store needs done to layers, whose files belong to subordinate ids."""

    def new_layer(self, path: Path) -> None: ...
    def digest(self, path: Path, clamp: int) -> Digest: ...
    def settle(self, path: Path, clamp: int, written: Span) -> Digest: ...
    def fingerprint(self, paths: Sequence[Path]) -> tuple[str, ...]: ...
    def remove(self, paths: Sequence[Path]) -> None: ...


@dataclass(frozen=True)
class Workspace:
    """Where one step works: `output` becomes the result, `scratch` goes away with the rest."""

    output: Path
    scratch: Path


class NoTrees:
    """For looking up results only: a plan needs no sandbox and touches no layer."""

    def new_layer(self, path: Path) -> None:
        raise NotImplementedError

    def digest(self, path: Path, clamp: int) -> Digest:
        raise NotImplementedError

    def settle(self, path: Path, clamp: int, written: Span) -> Digest:
        raise NotImplementedError

    def fingerprint(self, paths: Sequence[Path]) -> tuple[str, ...]:
        raise NotImplementedError

    def remove(self, paths: Sequence[Path]) -> None:
        raise NotImplementedError


class Store:
    """`clamp` (seconds since the epoch) is what files are dated that a build makes, and the latest time in a layer.
    `temporary` is a folder on the store's filesystem in which unfinished work lies."""

    def __init__(self, root: Path, trees: Trees, clamp: int, temporary: Path) -> None:
        self.root = root
        self.scratch = Scratch(temporary, trees.remove)
        self.trees = trees
        self.clamp = clamp
        try:
            for folder in (*(root / name for name in ("results", "ids", "plans", "locks")), temporary):
                folder.mkdir(parents=True, exist_ok=True)
            # Layers hold setuid programs that belong to the builder in the eyes of everybody else.
            root.chmod(0o700)
        except OSError as error:
            raise StoreError(
                "store-not-writable",
                f"cannot use {root} as the store",
                cause=str(error),
                hint="set cache_dir in the settings, or give --cache-dir, to a folder you can write",
            ) from error
        if root.stat().st_dev != temporary.stat().st_dev:
            raise StoreError(
                "temp-dir-elsewhere",
                f"{temporary} is on another filesystem than {root}",
                hint="set temp_dir in the settings to a folder on the cache's filesystem, or leave it out",
            )

    # -- looking up ------------------------------------------------------------------------------------------

    def by_id(self, step_id: str) -> Result | None:
        """The result that an id of a plan stands for, without a check of its content."""
        with contextlib.suppress(OSError, ValueError):
            return self.by_key((self.root / "ids" / step_id).read_text())
        return None

    def by_key(self, key: str) -> Result | None:
        """None also where what lies there is no result: see `unusable`."""
        folder = self.root / "results" / key
        if not _KEY.fullmatch(key) or folder.is_symlink():
            return None
        try:
            return _result(key, folder, json.loads((folder / "record.json").read_text()))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def unusable(self, key: str) -> bool:
        """Whether something lies in the place of a result that is none, such as one with a damaged record."""
        return os.path.lexists(self.root / "results" / key) and self.by_key(key) is None

    def link(self, step_id: str, key: str) -> None:
        """Remember that `step_id` asks for `key`."""
        self._write(self.root / "ids" / step_id, key)

    # -- checking --------------------------------------------------------------------------------------------

    def damaged(self, results: Sequence[Result]) -> tuple[Result, ...]:
        """Those whose names, types, modes, sizes or times are not as they were left."""
        trees = [r for r in results if r.kind is Kind.TREE and r.content is not None]
        present = [r for r in trees if r.content is not None and is_folder(r.content)]
        prints = self.trees.fingerprint([r.content for r in present if r.content is not None])
        bad = [r for r in trees if r not in present]
        bad += [r for r, seen in zip(present, prints, strict=True) if seen != r.fingerprint]
        bad += [r for r in results if r.kind is Kind.FILES and files_fingerprint(r.content) != r.fingerprint]
        return tuple(bad)

    def changed(self, results: Sequence[Result]) -> tuple[Result, ...]:
        """Those whose bytes are not as they were left."""
        return tuple(
            r for r in results if r.content is not None and self._digest(r.kind, r.content, r.clamp) != r.digest
        )

    def discard(self, key: str) -> None:
        """Take a result out of the store, whatever state it is in. Its lock (`running`) is held by the caller: what
        another build has made in its place meanwhile must stay."""
        folder = self.root / "results" / key
        grave = self.scratch.root / f"discarded-{secrets.token_hex(8)}"
        with contextlib.suppress(FileNotFoundError):
            folder.rename(grave)
            if is_folder(grave):
                self.trees.remove([grave])
            else:
                grave.unlink()

    # -- making ----------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def running(self, key: str) -> Iterator[None]:
        """Held by the one build that runs the step of `key`; another waits here and then finds the result."""
        with locked(self.root / "locks" / key):
            yield

    @contextlib.contextmanager
    def workspace(self, kind: Kind) -> Iterator[Workspace]:
        """A fresh place to work."""
        with self.scratch.folder() as folder:
            (folder / "result").mkdir()
            (folder / "scratch").mkdir()
            output = folder / "result" / "content"
            if kind is Kind.TREE:
                self.trees.new_layer(output)
            elif kind is Kind.FILES:
                output.mkdir()
            yield Workspace(output, folder / "scratch")

    def keep(
        self, key: str, kind: Kind, workspace: Workspace, about: Mapping[str, Any], written: Span | None = None
    ) -> Result:
        """Make the workspace's output the result of `key`. `about` is written into the record for readers. A layer
        that was `written` then is dated first (see `Sandbox.settle`)."""
        output = workspace.output
        if kind is Kind.ARTIFACT:
            raise ValueError("an artifact is remembered, not kept")
        if kind is Kind.TREE and written is not None:
            digest = self.trees.settle(output, self.clamp, written).sha256
        else:
            digest = self._digest(kind, output, self.clamp)
        fingerprint = self.trees.fingerprint([output])[0] if kind is Kind.TREE else files_fingerprint(output)
        return self._publish(key, kind, digest, fingerprint, 0, output.parent, about)

    def remember(self, key: str, digest: str, size: int, about: Mapping[str, Any]) -> Result:
        """Note an artifact by its SHA-256 and size; its bytes live where the user wanted them."""
        with self.workspace(Kind.FILES) as workspace:
            return self._publish(key, Kind.ARTIFACT, digest, "", size, workspace.output.parent, about)

    # -- the last plan ---------------------------------------------------------------------------------------

    def last_plan(self, name: str) -> dict[str, Any] | None:
        """What `Plan.to_json` gave of the plan that was built last; None where there is none that can be read."""
        try:
            value = json.loads((self.root / "plans" / f"{name}.json").read_text())
            return value if _is_plan(value) else None
        except (OSError, ValueError):
            return None

    def log(self, plan: str, step: str) -> Path:
        """Where the output of a step of a plan is kept."""
        folder = self.root / "logs" / plan
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{step}.log"

    def note_plan(self, plan: Plan) -> None:
        self._write(self.root / "plans" / f"{plan.name}.json", json.dumps(plan.to_json(), indent=1))

    # -- inside ----------------------------------------------------------------------------------------------

    def _digest(self, kind: Kind, content: Path, clamp: int) -> str:
        if kind is Kind.TREE:
            return self.trees.digest(content, clamp).sha256
        return files_digest(content)

    def _publish(
        self,
        key: str,
        kind: Kind,
        digest: str,
        fingerprint: str,
        size: int,
        folder: Path,
        about: Mapping[str, Any],
    ) -> Result:
        # A result is shared by locks with other epochs where its step does not depend on one: what its digest was
        # taken with stays with it.
        measured = {"digest": digest, "fingerprint": fingerprint, "size": size, "clamp": self.clamp}
        record = {**about, **measured, "kind": kind.value}
        (folder / "record.json").write_text(json.dumps(record, indent=1, sort_keys=True))
        target = self.root / "results" / key
        try:
            folder.rename(target)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            # What lies there is no usable result, or the step would not have run: its lock is held.
            self.discard(key)
            folder.rename(target)
        return _result(key, target, json.loads(json.dumps(record)))

    def _write(self, path: Path, text: str) -> None:
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        temporary.write_text(text)
        temporary.replace(path)


def _result(key: str, folder: Path, record: Any) -> Result:
    """What a record says. Raises ValueError, KeyError or TypeError for one that was damaged."""
    kind = Kind(record["kind"])
    made_from = tuple(digest for _, digest in record["inputs"])
    texts, numbers = (record["digest"], record["fingerprint"], *made_from), (record["size"], record["clamp"])
    if not all(isinstance(text, str) for text in texts) or not all(isinstance(number, int) for number in numbers):
        raise TypeError("a field of the record has another type")
    content = None if kind is Kind.ARTIFACT else folder / "content"
    return Result(key, kind, record["digest"], content, record["fingerprint"], *numbers, made_from)


def _is_plan(value: Any) -> bool:
    """Whether it has what a reader of `Plan.to_json` looks at."""
    try:
        for step in value["steps"]:
            step["name"], step["id"], step["kind"], step["version"], step["options"].keys()
            for one in step["inputs"]:
                one["step"], one["id"]
    except (KeyError, TypeError, AttributeError):
        return False
    return True

"""What the helper is asked, as it goes down the pipe: helper/inside/request.py reads it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from os_image_composer.chroot.ids import IdMap, Mapping
from os_image_composer.chroot.job import Bind, Job, Mount, MountedTree, Tree

_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")


@dataclass
class Asking:
    """One request in the making. Files of the host are named by their place in `sources`, resolved."""

    verb: str
    ids: IdMap
    scratch: Path | None = None
    job: Job | None = None
    tree: Tree | None = None  # of a verb; read-only without upper
    options: dict[str, Any] = field(default_factory=dict)
    sources: list[str] = field(default_factory=list)

    def source(self, path: Path) -> int:
        resolved = str(path.resolve())
        if resolved not in self.sources:
            self.sources.append(resolved)
        return self.sources.index(resolved)

    def line(self) -> bytes:
        """The request as one line of JSON."""
        job = self.job
        tree = job.root if job else self.tree
        text = {
            "verb": self.verb,
            "ids": _ids(self.ids),
            "scratch": self.source(self.scratch) if self.scratch else None,
            "root": self._tree(tree, throwaway=job is not None) if tree else None,
            "api": job is not None,
            "mounts": [self._mount(mount) for mount in job.mounts] if job else [],
            "devices": self._devices() if job else {},
            "network": job.network if job else False,
            "argv": list(job.argv) if job else [],
            "env": dict(job.env) if job else {},
            "cwd": job.cwd if job else "/",
            "stdin_size": len(job.stdin) if job else 0,
            "options": self.options,
        }
        return json.dumps({**text, "sources": self.sources}).encode() + b"\n"

    def _tree(self, tree: Tree, throwaway: bool) -> dict[str, Any]:
        return {
            "lower": [self.source(path) for path in tree.lower],
            "upper": self.source(tree.upper) if tree.upper else None,
            "throwaway": throwaway,
        }

    def _mount(self, mount: Mount) -> dict[str, Any]:
        match mount:
            case Bind(source, target, read_only):
                return {
                    "kind": "bind",
                    "source": self.source(source),
                    "directory": source.is_dir(),
                    "target": target,
                    "read_only": read_only,
                }
            case MountedTree(tree, target, api):
                spec = self._tree(tree, throwaway=False)
                return {"kind": "tree", "tree": spec, "target": target, "api": api}

    def _devices(self) -> dict[str, int]:
        found = ((name, Path("/dev") / name) for name in _DEVICES)
        return {name: self.source(path) for name, path in found if path.exists()}


def _ids(ids: IdMap) -> dict[str, Any]:
    return {
        "uid": _ranges(ids.uids),
        "gid": _ranges(ids.gids),
        "newuidmap": str(ids.newuidmap or ""),
        "newgidmap": str(ids.newgidmap or ""),
    }


def _ranges(mappings: Sequence[Mapping]) -> list[list[int]]:
    return [[m.inside, m.outside, m.count] for m in mappings]

"""What the sandbox is asked to run: values only, no behaviour.

A tree is a stack of overlayfs lower directories; the merged view is what programs see.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Tree:
    """A root filesystem: `lower` directories, lowest first, and the directory that takes what is written.
    Without `upper` the tree is read-only."""

    lower: tuple[Path, ...] = ()
    upper: Path | None = None


@dataclass(frozen=True)
class Bind:
    """A file or directory of the host, seen at `target` (absolute, inside)."""

    source: Path
    target: str
    read_only: bool = True


@dataclass(frozen=True)
class MountedTree:
    """A second root filesystem, seen at `target`; with `api` it has its own /proc, /dev, /run and /tmp, so
    that programs can be run in it with chroot."""

    tree: Tree
    target: str
    api: bool = False


Mount = Bind | MountedTree


@dataclass(frozen=True)
class Job:
    """One program. `root` is its root filesystem; /proc, /dev, /dev/pts, /run and /tmp are always there and
    never reach a layer. `mounts` are made in order. `env` is the whole environment beside the fixed one."""

    root: Tree
    argv: tuple[str, ...]
    mounts: tuple[Mount, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    stdin: bytes = b""
    cwd: str = "/"
    network: bool = False


@dataclass(frozen=True)
class Completed:
    """A finished program: its exit status (128 + signal when killed) and all it printed, both streams."""

    status: int
    output: bytes

    def tail(self, lines: int = 30) -> tuple[str, ...]:
        return tuple(self.output.decode("utf-8", "replace").splitlines()[-lines:])


# --- edits of a tree: done by the sandbox helper inside the merged tree, so no path can lead out of it ------


@dataclass(frozen=True)
class WriteFile:
    path: str
    content: bytes
    mode: int = 0o644
    uid: int = 0
    gid: int = 0


@dataclass(frozen=True)
class Rewrite:
    """Other content for a file that is there: owner, mode and attributes stay."""

    path: str
    content: bytes


@dataclass(frozen=True)
class MakeDirectory:
    """`uid` and `gid` None leave the owner as it is: root's, of a new directory."""

    path: str
    mode: int = 0o755
    uid: int | None = None
    gid: int | None = None


@dataclass(frozen=True)
class MakeSymlink:
    path: str
    target: str


@dataclass(frozen=True)
class Remove:
    """Remove what matches a glob pattern; nothing there is no error."""

    pattern: str


Edit = WriteFile | Rewrite | MakeDirectory | MakeSymlink | Remove

"""The image's own /etc/passwd and /etc/group, as passwd(5) and group(5) describe them."""

from __future__ import annotations

from dataclasses import dataclass

from os_image_composer.chroot.job import Tree
from os_image_composer.chroot.sandbox import Sandbox


@dataclass(frozen=True)
class PasswdEntry:
    uid: int
    gid: int
    home: str


def read_users(sandbox: Sandbox, tree: Tree) -> dict[str, PasswdEntry]:
    """By name; lines that are none are left out."""
    rows = (row for row in _rows(sandbox, tree, "etc/passwd") if len(row) == 7 and _numbers(row[2:4]))
    return {row[0]: PasswdEntry(int(row[2]), int(row[3]), row[5]) for row in rows}


def read_groups(sandbox: Sandbox, tree: Tree) -> dict[str, int]:
    """Numbers by name."""
    return {row[0]: int(row[2]) for row in _rows(sandbox, tree, "etc/group") if len(row) == 4 and _numbers(row[2:3])}


def _rows(sandbox: Sandbox, tree: Tree, path: str) -> list[list[str]]:
    text = sandbox.read(tree, [path]).get(path, b"").decode("utf-8", "replace")
    return [line.split(":") for line in text.splitlines()]


def _numbers(words: list[str]) -> bool:
    return all(word.isdecimal() for word in words)

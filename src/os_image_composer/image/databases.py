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


@dataclass(frozen=True)
class Databases:
    """Users, and numbers of groups, by name; lines that are neither are left out."""

    users: dict[str, PasswdEntry]
    groups: dict[str, int]


def read_databases(sandbox: Sandbox, tree: Tree) -> Databases:
    found = sandbox.read(tree, ["etc/passwd", "etc/group"])
    users = [row for row in _rows(found.get("etc/passwd", b"")) if len(row) == 7 and _numbers(row[2:4])]
    groups = [row for row in _rows(found.get("etc/group", b"")) if len(row) == 4 and _numbers(row[2:3])]
    return Databases(
        {row[0]: PasswdEntry(int(row[2]), int(row[3]), row[5]) for row in users},
        {row[0]: int(row[2]) for row in groups},
    )


def _rows(content: bytes) -> list[list[str]]:
    return [line.split(":") for line in content.decode("utf-8", "replace").splitlines()]


def _numbers(words: list[str]) -> bool:
    return all(word.isdecimal() for word in words)

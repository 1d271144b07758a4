"""How two things differ: the values that `compare` gives."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

MOST = 20_000  # differences that are kept; of two foreign images nobody reads more


class Area(StrEnum):
    """What a difference is about, in the order in which a reader wants to know."""

    DISK = "disk"
    PARTITION = "partition"
    FILESYSTEM = "filesystem"
    BOOT = "boot"
    PACKAGE = "package"
    SBOM = "sbom"
    FILE = "file"
    LOCK = "lock"


@dataclass(frozen=True)
class Difference:
    """`where` names what differs inside its area: a path, a package, `partition 2`. `kind` is what of it: `missing`
    (then `a` or `b` is None), `mode`, `content`, `command-line` and the like. `a` and `b` are what the two sides have,
    in words."""

    area: Area
    where: str
    kind: str
    a: str | None
    b: str | None


@dataclass(frozen=True)
class Comparison:
    """`what` is image, tree or lock. `differences` is empty if, and only if, both are equal: of images every byte, of
    trees every file with all that `compare` looks at. `more` counts those that are not kept."""

    what: str
    a: str
    b: str
    differences: tuple[Difference, ...]
    more: int = 0

    @property
    def equal(self) -> bool:
        return not self.differences


class Differences:
    """Collects what is found, up to `MOST`."""

    def __init__(self) -> None:
        self.kept: list[Difference] = []
        self.count = 0

    def add(self, area: Area, where: str, kind: str, a: object | None, b: object | None) -> None:
        self.count += 1
        if len(self.kept) < MOST:
            texts = (None if value is None else str(value) for value in (a, b))
            self.kept.append(Difference(area, where, kind, *texts))

    def add_fields(self, area: Area, where: str, fields: Iterator[tuple[str, object, object]]) -> None:
        """Those of `fields` (kind, a, b) whose values are not equal."""
        for kind, a, b in fields:
            if a != b:
                self.add(area, where, kind, a, b)

    def comparison(self, what: str, a: object, b: object) -> Comparison:
        order = list(Area)
        kept = sorted(self.kept, key=lambda difference: order.index(difference.area))
        return Comparison(what, str(a), str(b), tuple(kept), self.count - len(self.kept))

"""Why packages cannot be had together, as values and in sentences; the same for every package family.

A reason begins with what somebody asked for and goes down, demand by demand, to the package where it ends: at a demand
that nothing meets, or at one that another wanted package rules out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from os_image_composer.config.spec import package_key
from os_image_composer.errors import SolveError

SHOWN = 6  # reasons; a request that fails in more ways than that is not understood better by more of them

Asked = Callable[[str | None], str | None]


@dataclass(frozen=True)
class Link:
    """`package` (name and version) demands `relation`, which leads to the next package of the chain."""

    package: str
    relation: str


@dataclass(frozen=True)
class Chain:
    """Why `package` is wanted. `request` is the text that asks for the first package of the chain, None for what
    every system has."""

    request: str | None
    links: tuple[Link, ...]
    package: str

    @property
    def first(self) -> str:
        return self.links[0].package if self.links else self.package


@dataclass(frozen=True)
class Reason:
    """The last package of `chain` demands `relation`, which nothing meets (`absence` says what there is), or
    excludes it, and the last package of `against` is that. `how` it excludes is a verb; a relation that is the other
    package itself is not told twice."""

    chain: Chain
    relation: str
    against: Chain | None = None
    absence: str = ""
    how: str = "conflicts with"


class NotInstallableError(SolveError):
    """Packages that exist and cannot be there together. `reasons` may be empty where the solver gave none."""

    def __init__(self, reasons: Sequence[Reason], repositories: Sequence[str], more: Sequence[str] = ()) -> None:
        super().__init__("cannot-be-installed", _summary(reasons))
        self.reasons = tuple(reasons)
        self._tail = (*more, f"looked in: {', '.join(repositories)}")
        self.tell(lambda request: None)

    def requests(self) -> tuple[str, ...]:
        """What was asked for and takes part, in the order of the reasons."""
        chains = [c for r in self.reasons for c in (r.chain, r.against) if c is not None]
        return tuple(dict.fromkeys(c.request for c in chains if c.request is not None))

    def tell(self, asked: Asked, unchangeable: Iterable[str] = ()) -> None:
        """Write `detail` and `hint`. `asked` says who asks with a text and where (`asked for at x.yml:3`), None
        where that is not known; `unchangeable` are the requests that are not the user's."""
        lines = [line for reason in self.reasons[:SHOWN] for line in sentences(reason, asked)]
        left = len(self.reasons) - SHOWN
        self.detail = (*dict.fromkeys(lines), *((f"and {left} more reasons",) if left > 0 else ()), *self._tail)
        fixed = set(unchangeable)
        own = [request for request in self.requests() if request not in fixed]
        missing = all(reason.against is None for reason in self.reasons)
        each = bool(own) and all(_alone(reason, fixed) for reason in self.reasons)
        self.hint = _hint(own, missing, each)
        self.key = package_key(own[0]) if own else None


def sentences(reason: Reason, asked: Asked) -> Sequence[str]:
    """The reason in one sentence, and a second one that says why the other package is wanted."""
    way = _way(reason.chain, asked)
    if reason.against is None:
        return (f"{way} depends on {reason.relation}, which {reason.absence or 'no repository has'}",)
    other = reason.against
    which = f", which {other.package} is" if reason.relation != other.package else ""
    lines = [f"{way} {reason.how} {reason.relation}{which}"]
    who = asked(other.request)
    if other.links:
        lines.append(f"{other.package} is needed because {_way(other, asked, to_the_end=False)}")
    elif who:
        lines.append(f"{other.package} is {who}")
    return lines


def _way(chain: Chain, asked: Asked, *, to_the_end: bool = True) -> str:
    """`a 1 (asked for at x.yml:3) depends on b; b 1`, the last package being the subject of what follows."""
    who = asked(chain.request)
    parts = []
    for number, link in enumerate(chain.links):
        said = f" ({who})" if who and number == 0 else ""
        parts.append(f"{link.package}{said} depends on {link.relation}")
    if to_the_end:
        parts.append(chain.package + (f" ({who})" if who and not chain.links else ""))
    return "; ".join(parts)


def _summary(reasons: Sequence[Reason]) -> str:
    if not reasons:
        return "the packages that were asked for cannot be installed together"
    first, other = reasons[0].chain.first, reasons[0].against
    if other is None or other.first == first:
        return f"{first} cannot be installed"
    return f"{first} and {other.first} cannot be installed together"


def _alone(reason: Reason, fixed: set[str]) -> bool:
    """Whether one request of the user's is in the way by itself: the other side is what no template takes away."""
    return (
        reason.against is not None
        and sum(chain.request is not None and chain.request not in fixed for chain in (reason.chain, reason.against))
        == 1
    )


def _hint(own: Sequence[str], missing: bool, each: bool) -> str:
    if not own:
        return "the distribution's own packages do not fit together: ask again later, or name another mirror"
    if missing:
        return f"leave {own[0]} out, or ask for another version of it"
    if len(own) == 1:
        return f"leave {own[0]} out, or ask for another version of it: the other side is not the template's"
    if each:
        return f"leave {' and '.join(own)} out, or ask for other versions: the other side is not the template's"
    return "leave one of " + ", ".join(own) + " out, or ask for another version"


def chains(roots: Mapping[str, str | None], demands: Iterable[tuple[str, str, str]]) -> Callable[[str], Chain | None]:
    """The shortest chain to a package, from `roots` (packages with the text that asks for each) over `demands`:
    (package, relation, package that meets it). None for one that no root leads to."""
    edges: dict[str, list[tuple[str, str]]] = {}
    for package, relation, meets in demands:
        edges.setdefault(package, []).append((relation, meets))
    found = {root: Chain(request, (), root) for root, request in roots.items()}
    queue = deque(found)
    while queue:
        here = found[queue.popleft()]
        for relation, package in edges.get(here.package, ()):
            if package not in found:
                found[package] = Chain(here.request, (*here.links, Link(here.package, relation)), package)
                queue.append(package)
    return found.get

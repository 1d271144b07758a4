"""Debian's versions and relations as RPM's."""

from __future__ import annotations

from collections.abc import Iterator

from os_image_composer.ospackage.deb.control import Alternatives, Operator, Relation, parse_relations

_OPERATORS = {
    Operator.EARLIER: "<",
    Operator.EARLIER_OR_EQUAL: "<=",
    Operator.EQUAL: "=",
    Operator.LATER_OR_EQUAL: ">=",
    Operator.LATER: ">",
}


def epoch_version_release(version: str) -> tuple[int, str, str]:
    """The last hyphen divides version and release; others become underscores, which rpm takes for a mere separator
    too. A native package has release 1."""
    epoch, _, rest = version.rpartition(":")
    upstream, _, revision = rest.rpartition("-")
    return int(epoch or 0), (upstream or rest).replace("-", "_"), revision if upstream else "1"


def version_in_relation(version: str) -> str:
    """Without a release where Debian has none: rpm then compares none."""
    epoch, upstream, release = epoch_version_release(version)
    tail = f"-{release}" if "-" in version else ""
    return f"{epoch}:" * bool(epoch) + upstream + tail


def requirements(field: str) -> Iterator[tuple[Alternatives, str]]:
    """Each clause of a relation field with its text for RPM; alternatives become a rich dependency."""
    for clause in parse_relations(field):
        texts = list(dict.fromkeys(text(relation) for relation in clause))
        yield clause, texts[0] if len(texts) == 1 else f"({' or '.join(texts)})"


def text(relation: Relation) -> str:
    """One relation. Where neither side of it has a release, `>` and `<=` mean something else in RPM, where 2.36-9 is
    not greater than 2.36 (libc-bin asks for libc6 >> 2.36)."""
    if relation.operator is None:
        return relation.name
    operator = _OPERATORS[relation.operator]
    if "-" not in relation.version:
        operator = {">": ">=", "<=": "<"}.get(operator, operator)
    return f"{relation.name} {operator} {version_in_relation(relation.version)}"

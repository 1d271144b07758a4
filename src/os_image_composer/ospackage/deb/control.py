"""Control paragraphs (deb822(5)) and relation fields (Debian Policy 5.1, 7.1)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from os_image_composer.errors import MetadataError


class Operator(Enum):
    """How the version in a relation compares."""

    EARLIER = "<<"
    EARLIER_OR_EQUAL = "<="
    EQUAL = "="
    LATER_OR_EQUAL = ">="
    LATER = ">>"


@dataclass(frozen=True)
class Relation:
    """One alternative: a name, what follows its colon (`any` or an architecture), and a version demand."""

    name: str
    qualifier: str | None = None
    operator: Operator | None = None
    version: str = ""

    def __str__(self) -> str:
        qualified = f"{self.name}:{self.qualifier}" if self.qualifier else self.name
        return f"{qualified} ({self.operator.value} {self.version})" if self.operator else qualified


Alternatives = tuple[Relation, ...]

_OPERATORS = {o.value: o for o in Operator} | {"<": Operator.EARLIER_OR_EQUAL, ">": Operator.LATER_OR_EQUAL}
_RELATION = re.compile(
    r"\s*(?P<name>[A-Za-z0-9][A-Za-z0-9+.\-_]*)(?::(?P<qualifier>[a-z0-9\-]+))?"
    r"\s*(?:\(\s*(?P<operator><<|<=|>=|>>|=|<|>)\s*(?P<version>[^\s()<>=|,]+)\s*\))?\s*"
)


def parse_relations(field: str) -> tuple[Alternatives, ...]:
    """The comma-separated demands of a field, each with its alternatives in order."""
    return tuple(
        tuple(parse_relation(one) for one in demand.split("|")) for demand in field.split(",") if demand.strip()
    )


def parse_relation(text: str) -> Relation:
    """One alternative. Raises MetadataError `bad-relation`."""
    match = _RELATION.fullmatch(text)
    if match is None:
        raise MetadataError("bad-relation", f"not a package relation: {text.strip()!r}")
    operator = match["operator"]
    return Relation(
        match["name"], match["qualifier"], _OPERATORS[operator] if operator else None, match["version"] or ""
    )


def parse_paragraph(text: str) -> Mapping[str, str]:
    """The fields of one paragraph by lower-case name; continuation lines are joined with newlines, unindented.
    Raises MetadataError `bad-paragraph`."""
    fields: dict[str, str] = {}
    name = ""
    for line in text.split("\n"):
        if not line or line.startswith("#"):
            continue
        if line[0] in " \t":
            if not name:
                raise MetadataError("bad-paragraph", "a paragraph starts with a continuation line")
            fields[name] += "\n" + line.strip()
            continue
        name, colon, value = line.partition(":")
        name = name.lower()
        if not colon or name in fields:
            what = "appears twice" if colon else "has no colon"
            raise MetadataError("bad-paragraph", f"a field of a paragraph {what}", cause=line[:80])
        fields[name] = value.strip()
    return fields


def paragraphs(text: str) -> Iterator[Mapping[str, str]]:
    """All paragraphs of a document."""
    for block in re.split(r"\n[ \t]*\n", text):
        fields = parse_paragraph(block)
        if fields:
            yield fields

"""YAML text as a tree in which every key and value knows the file, line and column it was written at.

The scanner and parser are ruamel.yaml's; the tree is built here from its events, because composers forget
where keys stood and expand aliases without a limit. Scalars follow the core schema of YAML 1.2.2 (§10.3): so
`yes` and `off` are strings, and `08` is not octal.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from os_image_composer.errors import ComposerError, Finding, Origin, TemplateError

__all__ = ["Entry", "MappingNode", "Node", "ScalarNode", "SequenceNode", "parse_yaml", "read_yaml"]

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 32
MAX_NODES = 100_000  # aliases counted as often as they are used ("billion laughs")
SUFFIXES = (".yml", ".yaml")

NULL = re.compile(r"null|Null|NULL|~|")
TRUE = re.compile(r"true|True|TRUE")
FALSE = re.compile(r"false|False|FALSE")
INTEGER = re.compile(r"[-+]?[0-9]+")
OCTAL = re.compile(r"0o[0-7]+")
HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]+")
FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
CORE_TAG = "tag:yaml.org,2002:"


@dataclass(frozen=True)
class ScalarNode:
    """`text` is what was written, `value` what it means. Neither is printed: it may be a password."""

    value: str | int | float | bool | None
    text: str
    origin: Origin

    def __repr__(self) -> str:
        return f"ScalarNode({type(self.value).__name__} at {self.origin})"


@dataclass(frozen=True)
class SequenceNode:
    items: tuple[Node, ...]
    origin: Origin


@dataclass(frozen=True)
class Entry:
    """A key of a mapping, where the key stands, and its value."""

    key: str
    key_origin: Origin
    node: Node

    @property
    def origin(self) -> Origin:
        """Where a reader looks for this value: the value itself, or the key of a list, a mapping or nothing."""
        written = isinstance(self.node, ScalarNode) and (self.node.text or self.node.value is not None)
        return self.node.origin if written else self.key_origin


@dataclass(frozen=True)
class MappingNode:
    entries: tuple[Entry, ...]
    origin: Origin

    def entry(self, key: str) -> Entry | None:
        return next((entry for entry in self.entries if entry.key == key), None)

    def get(self, key: str) -> Node | None:
        entry = self.entry(key)
        return entry.node if entry else None


Node = ScalarNode | SequenceNode | MappingNode


class _MalformedError(Exception):
    """Carries a finding out of the recursion; never leaves this file."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.message)
        self.finding = finding


def read_yaml(path: Path, failure: type[ComposerError] = TemplateError) -> MappingNode:
    """The mapping in the file `path`; raises `failure` (with one finding) when it cannot be one.

    `path` must end in .yml or .yaml and be a regular file of UTF-8 text of at most 1 MiB.
    """
    return parse_yaml(_read_text(path, failure), str(path), failure)


def parse_yaml(text: str, file: str, failure: type[ComposerError] = TemplateError) -> MappingNode:
    """The mapping written as `text`; `file` is the name that origins carry."""
    # Here and not above: a settings file is often absent, and then no YAML is read at all.
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        return _document(YAML(typ="safe", pure=True).parse(text), file)
    except _MalformedError as error:
        finding = error.finding
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        origin = Origin(file, mark.line + 1, mark.column + 1) if mark else Origin(file, 1, 1)
        problem = error.problem or "it cannot be read"
        finding = Finding("yaml-syntax", f"this is not YAML: {problem}", origin, error.context)
    except YAMLError as error:
        # Characters that YAML forbids (§5.1): the reader counts them without line and column.
        offset = getattr(error, "position", 0)
        before = text[: offset if isinstance(offset, int) else 0]
        origin = Origin(file, before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1)
        finding = Finding("yaml-syntax", "this is not YAML: a character that YAML does not allow", origin)
    raise _failed(failure, finding)


def _failed(failure: type[ComposerError], finding: Finding) -> ComposerError:
    return failure(finding.reference, finding.message, origin=finding.origin, hint=finding.hint, findings=(finding,))


def _read_text(path: Path, failure: type[ComposerError]) -> str:
    start = Origin(str(path), 1, 1)

    def refuse(reference: str, message: str, hint: str | None = None) -> ComposerError:
        return _failed(failure, Finding(reference, message, start, hint))

    try:
        if not path.is_file():
            kind = "is not a regular file" if path.exists() else "does not exist"
            raise refuse("no-such-file", f"'{path}' {kind}")
        if path.suffix not in SUFFIXES:
            raise refuse("not-yaml-file", f"'{path.name}' does not end in .yml or .yaml")
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise refuse("unreadable-file", f"'{path}' cannot be read: {error.strerror}") from error
    if len(data) > MAX_BYTES:
        raise refuse("file-too-large", f"'{path}' is larger than 1 MiB")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        line_start = before.rfind(b"\n") + 1
        column = len(before[line_start:].decode("utf-8-sig")) + 1
        origin = Origin(str(path), before.count(b"\n") + 1, column)
        raise _failed(failure, Finding("not-utf-8", "this is not UTF-8 text", origin)) from error


def _document(events: Iterator[Any], file: str) -> MappingNode:
    start = Origin(file, 1, 1)
    builder = _Builder(events, file)
    next(events)  # StreamStart
    if _name(next(events)) != "DocumentStartEvent":
        raise _MalformedError(Finding("empty-file", "the file says nothing", start))
    node = builder.node(next(events), 0)
    next(events)  # DocumentEnd
    if _name(end := next(events)) == "DocumentStartEvent":
        finding = Finding("two-documents", "a second YAML document starts here", builder.origin(end))
        raise _MalformedError(finding)
    if isinstance(node, ScalarNode) and node.value is None:
        raise _MalformedError(Finding("empty-file", "the file says nothing", start))
    if not isinstance(node, MappingNode):
        raise _MalformedError(Finding("wrong-type", "the file must hold keys and values", node.origin))
    return node


def _name(event: Any) -> str:
    return type(event).__name__


class _Builder:
    """Turns events into nodes. `anchors` keeps each anchored node with the number of nodes in it."""

    def __init__(self, events: Iterator[Any], file: str) -> None:
        self.events = events
        self.file = file
        self.count = 0
        self.anchors: dict[str, tuple[Node, int]] = {}

    def origin(self, event: Any) -> Origin:
        return Origin(self.file, event.start_mark.line + 1, event.start_mark.column + 1)

    def node(self, event: Any, depth: int) -> Node:
        origin = self.origin(event)
        before = self.count
        if _name(event) == "AliasEvent":
            return self._alias(event.anchor, origin)
        self._add(1, origin)
        if depth > MAX_DEPTH:
            raise _MalformedError(Finding("too-deep", f"nested more than {MAX_DEPTH} levels deep", origin))
        if _name(event) == "ScalarEvent":
            node: Node = _scalar(event, origin)
        elif event.tag and event.tag not in ("!", CORE_TAG + "map", CORE_TAG + "seq"):
            raise _unknown_tag(event.tag, origin)
        elif _name(event) == "SequenceStartEvent":
            node = SequenceNode(tuple(self._items(depth)), origin)
        else:
            node = MappingNode(tuple(self._entries(depth)), origin)
        if event.anchor:
            self.anchors[event.anchor] = (node, self.count - before)
        return node

    def _add(self, nodes: int, origin: Origin) -> None:
        self.count += nodes
        if self.count > MAX_NODES:
            message = f"the file has more than {MAX_NODES} values when its aliases are expanded"
            raise _MalformedError(Finding("too-many-values", message, origin))

    def _alias(self, anchor: str, origin: Origin) -> Node:
        # Absent when it is used before or inside the value it names (YAML 1.2.2 §7.1 forbids the first).
        if anchor not in self.anchors:
            raise _MalformedError(Finding("yaml-syntax", f"the alias '*{anchor}' names nothing above it", origin))
        node, nodes = self.anchors[anchor]
        self._add(nodes, origin)
        return node

    def _items(self, depth: int) -> Iterator[Node]:
        while _name(event := next(self.events)) != "SequenceEndEvent":
            yield self.node(event, depth + 1)

    def _entries(self, depth: int) -> Iterator[Entry]:
        seen: dict[str, Origin] = {}
        while _name(event := next(self.events)) != "MappingEndEvent":
            key = self.node(event, depth + 1)
            if not isinstance(key, ScalarNode):
                raise _MalformedError(Finding("wrong-type", "a key must be a plain word", key.origin))
            origin = self.origin(event)
            if key.text == "<<":
                message = "'<<' merges mappings in YAML 1.1 only; this is YAML 1.2"
                raise _MalformedError(Finding("yaml-merge-key", message, origin))
            if key.text in seen:
                message = f"the key '{key.text}' was already given at line {seen[key.text].line}"
                raise _MalformedError(Finding("duplicate-key", message, origin))
            seen[key.text] = origin
            yield Entry(key.text, origin, self.node(next(self.events), depth + 1))


def _unknown_tag(tag: object, origin: Origin) -> _MalformedError:
    return _MalformedError(Finding("yaml-tag", f"the tag '{tag}' is not part of the template language", origin))


def _scalar(event: Any, origin: Origin) -> ScalarNode:
    text = str(event.value)
    tag = str(event.tag) if event.tag else None
    if tag not in (None, "!", CORE_TAG + "str"):
        raise _unknown_tag(tag, origin)
    # implicit[0] is the parser's word that the scalar is plain and untagged, so that its text decides.
    value = _resolve(text) if event.implicit[0] else text
    return ScalarNode(value, text, origin)


def _resolve(text: str) -> str | int | float | bool | None:
    if NULL.fullmatch(text):
        return None
    if TRUE.fullmatch(text):
        return True
    if FALSE.fullmatch(text):
        return False
    if INTEGER.fullmatch(text) and len(text) < 100:
        return int(text)
    if OCTAL.fullmatch(text):
        return int(text[2:], 8)
    if HEXADECIMAL.fullmatch(text):
        return int(text[2:], 16)
    if FLOAT.fullmatch(text):
        return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    return text

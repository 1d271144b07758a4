"""A tree checked against a model: all that is wrong, each with its place and what to write instead."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeVar, cast, get_args

from os_image_composer.config.nearest import did_you_mean
from os_image_composer.config.yaml_source import Entry, MappingNode, Node, ScalarNode, SequenceNode
from os_image_composer.errors import ComposerError, Finding, Origin

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic_core import ErrorDetails

__all__ = ["Location", "check", "failure", "key_path", "node_at", "plain", "value_at", "where"]

Model = TypeVar("Model", bound="BaseModel")
Location = tuple[int | str, ...]
Plain = str | int | float | bool | None | list["Plain"] | dict[str, "Plain"]

TYPES = {
    "string_type": "text",
    "int_type": "a whole number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "keys and values",
    "model_type": "keys and values",
}


def plain(node: Node) -> Plain:
    """The values of a tree without their places."""
    if isinstance(node, ScalarNode):
        return node.value
    if isinstance(node, SequenceNode):
        return [plain(item) for item in node.items]
    return {entry.key: plain(entry.node) for entry in node.entries}


def key_path(location: Location) -> str:
    """`('disk', 'partitions', 0, 'end')` as `disk.partitions[0].end`."""
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    return path


def check(node: MappingNode, model: type[Model], prefix: Location = ()) -> tuple[Model | None, tuple[Finding, ...]]:
    """`node` as a `model`, or None and every finding, in the order of the file.

    `prefix` is the place of `node` in the whole, for the key paths of messages.
    """
    from pydantic import ValidationError

    try:
        return model.model_validate(plain(node)), ()
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
    findings = {_finding(detail, node, model, prefix) for detail in details}
    return None, tuple(sorted(findings, key=lambda finding: (finding.origin or node.origin, finding.message)))


def failure(kind: type[ComposerError], reference: str, what: str, findings: tuple[Finding, ...]) -> ComposerError:
    """The error that stands for `findings`, which are not empty; `what` names the file."""
    number = "1 problem" if len(findings) == 1 else f"{len(findings)} problems"
    first = findings[0]
    return kind(
        reference,
        f"{what} has {number}",
        cause=first.message,
        hint=first.hint,
        origin=first.origin,
        findings=findings,
    )


def where(node: Node, location: Location, *, key: bool = False) -> Origin:
    """Where `location` was written, or the nearest thing above it; with `key` the key and not the value."""
    origin = node.origin
    for part in location:
        found = _below(node, part)
        if found is None:
            break
        if isinstance(found, Entry):
            node = found.node
            origin = found.key_origin if key else found.origin
        else:
            node, origin = found, found.origin
    return origin


def _below(node: Node, part: int | str) -> Entry | Node | None:
    if isinstance(node, MappingNode):
        return node.entry(str(part))
    if isinstance(node, SequenceNode) and isinstance(part, int) and part < len(node.items):
        return node.items[part]
    return None


def _at(node: Node, location: Location) -> Node | None:
    for part in location:
        found = _below(node, part)
        if found is None:
            return None
        node = found.node if isinstance(found, Entry) else found
    return node


def _finding(detail: ErrorDetails, node: MappingNode, model: type[BaseModel], prefix: Location) -> Finding:
    location = detail["loc"]
    path = key_path((*prefix, *location)) or "the file"
    kind = detail["type"]
    if kind == "extra_forbidden":
        hint = did_you_mean(str(location[-1]), _keys(model, location[:-1]))
        message = f"'{path}' is not a key of the language"
        return Finding("unknown-key", message, where(node, location, key=True), hint)
    if kind == "missing":
        return Finding("missing-key", f"'{path}' is missing", where(node, location[:-1], key=True))
    if kind in TYPES:
        return _wrong_type(_at(node, location), TYPES[kind], path, where(node, location))
    context = cast("Mapping[str, str | None]", detail.get("ctx", {}))
    at = context.get("at")
    if at and at != ".":
        location = (*location, *(int(part) if part.isdigit() else part for part in at.split(".")))
        path = key_path((*prefix, *location)) if not at.isdigit() else path
    message = context.get("message") or detail["msg"]
    origin = where(node, location, key=at == ".")
    return Finding(kind, f"'{path}'{_continued(message)}", origin, context.get("hint"))


def _continued(message: str) -> str:
    """A rule's message after the key's name: one that is a sentence of its own stands behind a colon."""
    verb = message.split(" ", 1)[0] in ("is", "cannot", "names", "says", "begins", "holds")
    return f" {message}" if verb else f": {message}"


def _wrong_type(node: Node | None, wanted: str, path: str, origin: Origin) -> Finding:
    if isinstance(node, ScalarNode) and node.value is None and not node.text:
        message, hint = f"'{path}' has no value", "give it a value or remove the line"
        return Finding("wrong-type", message, origin, hint)
    hint_text = None
    if isinstance(node, ScalarNode) and wanted == "text":
        hint_text = f'write it in quotes: "{node.text}"'
    elif isinstance(node, ScalarNode) and wanted == "true or false":
        words = {"yes": "true", "on": "true", "no": "false", "off": "false"}
        meant = words.get(node.text.casefold())
        hint_text = f"write {meant}" if meant else did_you_mean(node.text, ("true", "false"))
    if path.endswith("password"):
        hint_text = "write it in quotes" if hint_text else None
    return Finding("wrong-type", f"'{path}' must be {wanted}", origin, hint_text)


def _keys(model: type[BaseModel], location: Location) -> tuple[str, ...]:
    """The keys that the language has at `location` below `model`."""
    for part in location:
        if isinstance(part, int):
            continue
        fields = {field.alias or name: field for name, field in model.model_fields.items()}
        below = _model_in(fields[part].annotation) if part in fields else None
        if below is None:
            return ()
        model = below
    return tuple(field.alias or name for name, field in model.model_fields.items())


def _model_in(annotation: object) -> type[BaseModel] | None:
    from pydantic import BaseModel

    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_in(part))), None)


def node_at(node: object, location: Location) -> object:
    """What stands at `location` below `node`, through sections only; None where nothing does."""
    for part in location:
        node = node.get(str(part)) if isinstance(node, MappingNode) else None
    return node


def value_at(node: object, location: Location) -> object:
    """The value of what stands there; None where that is no scalar."""
    found = node_at(node, location)
    return found.value if isinstance(found, ScalarNode) else None

"""The template language as a table: every key, what it takes, what it means. Read from the models that check templates,
so that the reference page, the JSON Schema and the check cannot tell different stories."""

from __future__ import annotations

import ast
import inspect
import types
import typing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import AfterValidator, BaseModel, BeforeValidator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from os_image_composer.config import rules
from os_image_composer.config.rules import Choice, NotBuilt, Pattern

__all__ = ["Key", "Section", "Shape", "sections"]

_SIZES = (rules.size, rules.partition_end)
_KINDS: dict[object, str] = {str: "text", int: "whole number", bool: "true or false", float: "number"}
# Values that ask for nothing, in the order in which they are tried.
_NOTHINGS: tuple[tuple[object, str], ...] = ((False, "false"), (True, "true"), ([], "[]"), ({}, "{}"), ("", '""'))


@dataclass(frozen=True)
class Shape:
    """What a value may be. `kind` is text, whole number, true or false, size, list, keys and values, or anything;
    `values` are all it takes, `later` those of a later version; `pattern` a regular expression that `rule` tells in
    words; `item` is what a list holds, `model` what describes the keys below."""

    kind: str
    values: tuple[str, ...] = ()
    later: tuple[str, ...] = ()
    pattern: str | None = None
    rule: str | None = None
    item: Shape | None = None
    model: type[BaseModel] | None = None


@dataclass(frozen=True)
class Key:
    """`default` is None where the key is required or has none. `built` is False for a key that this version only
    knows; `nothing` is then the value that it may have nevertheless."""

    name: str
    shape: Shape
    required: bool
    default: str | None
    meaning: str
    built: bool = True
    nothing: str | None = None


@dataclass(frozen=True)
class Section:
    """`path` is where the section stands in a template: `systemConfig.users[]`, or nothing for the whole."""

    path: str
    about: str
    keys: tuple[Key, ...]


def sections(model: type[BaseModel], path: str = "") -> Iterator[Section]:
    """The section of `model` and those below it, in the order of the language."""
    keys = tuple(_key(name, field, model) for name, field in model.model_fields.items())
    yield Section(path, _about(model), keys)
    for key in keys:
        item = key.shape.item
        below = key.shape.model or (item.model if item else None)
        if below is not None:
            dotted = f"{path}.{key.name}" if path else key.name
            yield from sections(below, dotted + ("[]" if item else ""))


def _key(name: str, field: FieldInfo, model: type[BaseModel]) -> Key:
    shape, found = _shape(field.annotation, field.metadata)
    blocked = next((rule for rule in found if isinstance(rule, NotBuilt)), None)
    only_later = bool(shape.later) and not shape.values
    return Key(
        field.alias or name,
        shape,
        field.is_required(),
        _default(field),
        field.description or _attribute_docs(model).get(name, ""),
        built=blocked is None and not only_later,
        nothing=_nothing(blocked, shape) if blocked else None,
    )


def _shape(annotation: object, metadata: Sequence[object] = ()) -> tuple[Shape, tuple[object, ...]]:
    """The shape of an annotation, and the rules that stand with it."""
    found = [m.func if isinstance(m, AfterValidator | BeforeValidator) else m for m in metadata]
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        shape, inner = _shape(arguments[0], arguments[1:])
        return shape, (*inner, *found)
    if origin in (typing.Union, types.UnionType):
        rest = [argument for argument in arguments if argument is not type(None)]
        if len(rest) == 1:
            shape, inner = _shape(rest[0], metadata)
            return shape, inner
        kinds = [_shape(one)[0].kind for one in rest]
        return Shape(" or ".join(dict.fromkeys(kinds))), tuple(found)
    if any(rule in _SIZES for rule in found):
        return Shape("size"), tuple(found)
    if origin in (list, tuple):
        return Shape("list", item=_shape(arguments[0])[0]), tuple(found)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return Shape("keys and values", model=annotation), tuple(found)
    if origin is dict or annotation is dict:
        return Shape("keys and values"), tuple(found)
    return _word(_KINDS.get(annotation, "anything"), found), tuple(found)


def _word(kind: str, found: Sequence[object]) -> Shape:
    for rule in found:
        if isinstance(rule, Choice):
            return Shape(kind, values=rule.built, later=rule.known)
        if isinstance(rule, Pattern):
            return Shape(kind, pattern=rule.expression, rule=rule.description)
    return Shape(kind)


def _default(field: FieldInfo) -> str | None:
    value: Any = field.get_default(call_default_factory=True)
    if value is PydanticUndefined or value is None or value == "" or isinstance(value, BaseModel):
        return None
    if isinstance(value, bool):
        return str(value).lower()
    return "[]" if value == [] else str(value)


def _nothing(blocked: NotBuilt[Any], shape: Shape) -> str | None:
    candidates: list[tuple[object, str]] = list(_NOTHINGS)
    if shape.model is not None:
        candidates = [(shape.model.model_construct(enabled=False), "{enabled: false}")]
    for value, text in candidates:
        try:
            if blocked.asks_nothing(value):
                return text
        except (AttributeError, TypeError):
            continue
    return None


def _about(model: type[BaseModel]) -> str:
    return inspect.cleandoc(model.__doc__ or "") if "__doc__" in vars(model) else ""


def _attribute_docs(model: type[BaseModel]) -> dict[str, str]:
    """What stands in quotes below each field of the class."""
    file = inspect.getsourcefile(model)
    return _docs_of_file(file).get(model.__name__, {}) if file else {}


@cache
def _docs_of_file(file: str) -> dict[str, dict[str, str]]:
    # pydantic's use_attribute_docstrings does this for every class each time a program starts; here only a reader
    # of the reference pays for it.
    found: dict[str, dict[str, str]] = {}
    for node in ast.parse(Path(file).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef):
            docs = found.setdefault(node.name, {})
            for field, after in zip(node.body, node.body[1:], strict=False):
                if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                    text = after.value if isinstance(after, ast.Expr) else None
                    if isinstance(text, ast.Constant) and isinstance(text.value, str):
                        docs[field.target.id] = inspect.cleandoc(text.value)
    return found

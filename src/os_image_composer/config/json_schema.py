"""The template language as a JSON Schema (draft 2020-12), for editors. What only a whole template shows, such as
partitions that overlap, is `validate`'s."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel

from os_image_composer.config.reference import Key, Shape, sections
from os_image_composer.config.spec import Target
from os_image_composer.config.template import ImageTemplate

__all__ = ["template_schema"]

_SIZE = r"^[0-9]+ ?([KMGT](i?B)?|B)?$"
_TYPES = {"text": "string", "whole number": "integer", "true or false": "boolean", "keys and values": "object"}


def template_schema(targets: Sequence[Target] = ()) -> dict[str, Any]:
    """The schema as plain values; `targets` are those that have distribution data."""
    schema = _object(ImageTemplate)
    known = schema["properties"]["target"]["properties"]
    for key, words in (
        ("os", {t.os for t in targets}),
        ("dist", {t.dist for t in targets}),
        ("arch", {t.arch for t in targets}),
    ):
        if words:
            known[key]["enum"] = sorted(words)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Image template of os-image-composer",
        **schema,
    }


def _object(model: type[BaseModel]) -> dict[str, Any]:
    section = next(iter(sections(model)))
    return {
        "type": "object",
        "additionalProperties": False,
        "required": [key.name for key in section.keys if key.required],
        "properties": {key.name: _property(key) for key in section.keys},
    }


def _property(key: Key) -> dict[str, Any]:
    known = "" if key.built else f" Not built yet; only {key.nothing} is taken." if key.nothing else " Not built yet."
    return {"description": key.meaning + known, **_value(key.shape)}


def _value(shape: Shape) -> dict[str, Any]:
    if shape.model is not None:
        return _object(shape.model)
    if shape.item is not None:
        return {"type": "array", "items": _value(shape.item)}
    if shape.kind == "size":
        return {"type": ["string", "integer"], "pattern": _SIZE}
    value: dict[str, Any] = {"type": _TYPES[shape.kind]} if shape.kind in _TYPES else {}
    if shape.values:
        value["enum"] = list(shape.values)
    if shape.pattern is not None:
        value["pattern"] = f"^(?:{shape.pattern})$"
    return value

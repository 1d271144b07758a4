"""What is known about an image as plain values, for JSON and YAML."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from os_image_composer.report.image_file import ImageInfo


def image_value(info: ImageInfo) -> dict[str, Any]:
    """Lists, dictionaries, strings and numbers; keys in camelCase; sizes in bytes. A byte of a name that is no UTF-8
    becomes `\\udc..`, so that every writer takes it."""
    return plain_value(info)


def plain_value(value: object) -> dict[str, Any]:
    """The same for any dataclass of such values."""
    found = _plain(value)
    assert isinstance(found, dict)
    return found


def _plain(value: object) -> object:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {_camel(f.name): _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(_plain(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    return value


def _camel(name: str) -> str:
    return re.sub(r"_([a-z])", lambda match: match[1].upper(), name)

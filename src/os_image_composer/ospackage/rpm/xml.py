"""Reading XML that somebody else wrote: no document type, so no entities, and no nesting without end."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from xml.parsers import expat

from os_image_composer.errors import MetadataError

_MAX_DEPTH = 32
_DECLARATION = re.compile(rb"<\?xml[^>]*?encoding\s*=\s*[\"']([A-Za-z0-9._-]+)[\"']")
_ENCODINGS = (b"utf-8", b"us-ascii", b"ascii")


@dataclass
class Element:
    """An element by its local name: namespaces are left out, attributes too (`xml:base` is `base`)."""

    name: str
    attributes: Mapping[str, str]
    text: str = ""
    children: list[Element] = field(default_factory=list)

    def all(self, name: str) -> Iterator[Element]:
        return (child for child in self.children if child.name == name)

    def first(self, name: str) -> Element | None:
        return next(self.all(name), None)


def parse_small(data: bytes, what: str) -> Element:
    """The document as a tree, for one that is small. Raises MetadataError `bad-xml`."""
    refuse_document_type(data, what)
    root = Element("", {})
    stack = [root]

    def start(name: str, attributes: dict[str, str]) -> None:
        if len(stack) > _MAX_DEPTH:
            raise MetadataError("bad-xml", f"{what} is malformed", cause="elements nested too deeply")
        element = Element(_local(name), {_local(key): value for key, value in attributes.items()})
        stack[-1].children.append(element)
        stack.append(element)

    def text(data: str) -> None:
        stack[-1].text += data

    parser = expat.ParserCreate(namespace_separator="}")
    parser.StartElementHandler = start
    parser.EndElementHandler = lambda _: stack.pop()
    parser.CharacterDataHandler = text
    try:
        parser.Parse(data, True)
    except (expat.ExpatError, ValueError) as error:
        raise MetadataError("bad-xml", f"{what} is malformed", cause=str(error)) from error
    return root.children[0]


def refuse_document_type(data: bytes, what: str) -> None:
    """Entities are declared in a document type, and repository metadata has none. The bytes are UTF-8, so that what is
    looked for here is what every parser sees. Raises MetadataError `bad-xml`."""
    cause = None
    declared = _DECLARATION.match(data[:200])
    if not data.startswith(b"<"):
        cause = "it does not begin with '<'"
    elif declared and declared[1].lower() not in _ENCODINGS:
        cause = f"encoding {declared[1].decode()}"
    elif b"<!DOCTYPE" in data or b"<!ENTITY" in data:
        cause = "it has a document type, which could make it expand without end"
    if cause:
        raise MetadataError("bad-xml", f"{what} is not repository metadata", cause=cause)


def _local(name: str) -> str:
    return name.rsplit("}", 1)[-1]

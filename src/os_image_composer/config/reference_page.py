"""The page `docs/template.md`: the template language for a reader, made from the models."""

from __future__ import annotations

from collections.abc import Iterator

from os_image_composer.config.reference import Key, Section, Shape, sections
from os_image_composer.config.template import ImageTemplate

__all__ = ["COMMAND", "template_page"]

COMMAND = "scripts/make-template-reference"

_HEAD = f"""\
# Template reference

Made from the models that check templates: `{COMMAND}` writes this page. The same as a JSON Schema, for
an editor that completes and checks while you type:

    os-image-composer schema > template.schema.json

A template is one YAML 1.2 file of at most 1 MiB. It is merged over the OS default template of its target, so most keys
can be left out; what a template says replaces what the default says, except that package lists, users, files and
commands are added to. Sizes are written with a unit (`4GiB`, `512MiB`).

*Built* tells what this version does with a key: **yes**, or **not yet**: the language knows the key, and a template
that asks for it is refused by name. **only** and a value: nothing else is built yet.
"""


def template_page() -> str:
    """The whole page."""
    found = list(sections(ImageTemplate))
    not_built = {
        _below(section.path, key) for section in found for key in section.keys if not key.built and key.shape.model
    }
    return "\n".join([_HEAD, *("\n".join(_section(section, section.path in not_built)) for section in found)])


def _below(path: str, key: Key) -> str:
    return f"{path}.{key.name}" if path else key.name


def _section(section: Section, unbuilt: bool) -> Iterator[str]:
    yield f"## {section.path or 'The whole file'}"
    yield ""
    if section.about and not unbuilt:
        yield " ".join(section.about.split())
        yield ""
    if unbuilt:
        yield "Not built yet; these keys are only read."
        yield ""
    yield "| key | value | default | meaning | built |"
    yield "| --- | --- | --- | --- | --- |"
    for key in section.keys:
        default = "**required**" if key.required else f"`{key.default}`" if key.default else ""
        built = "not yet" if unbuilt else _built(key)
        yield f"| `{key.name}` | {_cell(_value(key.shape))} | {default} | {_cell(key.meaning)} | {built} |"
    yield ""


def _built(key: Key) -> str:
    if key.built:
        return "yes"
    return f"only `{key.nothing}`" if key.nothing else "not yet"


def _value(shape: Shape) -> str:
    if shape.item is not None:
        return f"list of: {_value(shape.item)}" if shape.item.model is None else "list of sections"
    if shape.model is not None:
        return "section"
    words = ", ".join(f"`{value}`" for value in shape.values)
    later = "not yet: " + ", ".join(f"`{value}`" for value in shape.later) if shape.later else ""
    if words or later:
        return "; ".join(part for part in (words, later) if part)
    return f"{shape.kind}: {shape.rule}" if shape.rule else shape.kind


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")

"""What the sections of a template have in common: how strict they are, and the words that several of them hold."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict
from pydantic.alias_generators import to_camel

from os_image_composer.config import rules
from os_image_composer.config.rules import not_built, pattern

ACCOUNT = r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,31}"
ACCOUNT_HINT = "letters, digits, '.', '_' and '-', at most 32, not beginning with '.' or '-'"

Text = Annotated[str, AfterValidator(rules.single_line)]
Account = Annotated[str, AfterValidator(pattern(ACCOUNT, ACCOUNT_HINT))]
Package = Annotated[str, AfterValidator(rules.package)]
FieldPath = Annotated[str, AfterValidator(rules.field_path)]
MountPoint = Annotated[str | None, AfterValidator(rules.mount_point)]
Program = Annotated[str, AfterValidator(rules.program)]
ImageFile = Annotated[str, AfterValidator(rules.image_file)]
Size = Annotated[int, BeforeValidator(rules.size)]
Later = Annotated[Any, AfterValidator(not_built())]
LaterList = Annotated[Any, AfterValidator(not_built(lambda value: value == []))]
LaterSwitch = Annotated[bool, AfterValidator(not_built(lambda value: not value))]
Packages = list[Package]


class Section(BaseModel):
    """Strict: an unknown key is an error, and a number is not text. Input is kept out of error texts."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, alias_generator=to_camel, hide_input_in_errors=True
    )

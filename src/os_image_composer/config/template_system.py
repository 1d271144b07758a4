"""Services, the keyboard, files and commands, as a template writes them."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, model_validator

from os_image_composer.config import rules, system_rules
from os_image_composer.config.rules import not_built, pattern, wrong
from os_image_composer.config.section import Section

__all__ = ["CarriedFileTemplate", "ConfigurationTemplate", "FileTemplate", "KeyboardTemplate", "ServicesTemplate"]

Unit = Annotated[str, AfterValidator(system_rules.unit)]


class ServicesTemplate(Section):
    enable: list[Unit] = []
    """Units that start at boot: `ssh.service`, `fstrim.timer`; a name without a suffix is a service."""
    disable: list[Unit] = []
    """Units that do not start at boot, although their package would have them."""
    mask: list[Unit] = []
    """Units that cannot be started at all."""

    @model_validator(mode="after")
    def one_state_each(self) -> ServicesTemplate:
        seen: dict[str, str] = {}
        for key in ("enable", "disable", "mask"):
            for number, unit in enumerate(getattr(self, key)):
                if unit in seen:
                    raise wrong("duplicate-value", f"'{unit}' is in {seen[unit]} already", at=f"{key}.{number}")
                seen[unit] = key
        return self


class KeyboardTemplate(Section):
    """Names of XKB, as keyboard(5) has them."""

    layout: Annotated[str, AfterValidator(system_rules.keyboard_names)]
    """The layout, such as `de`; several with commas, the first of which is used first: `us,ru`."""
    variant: Annotated[str, AfterValidator(system_rules.keyboard_names)] | None = None
    """The layout's variant, such as `nodeadkeys`; with several layouts one for each: `,phonetic`."""
    model: Annotated[str, AfterValidator(system_rules.keyboard_names)] | None = None
    """The keyboard's model; `pc105` where it is left out."""
    options: Annotated[str, AfterValidator(system_rules.keyboard_names)] | None = None
    """Options, divided by commas, such as `grp:alt_shift_toggle,ctrl:nocaps`."""

    @model_validator(mode="after")
    def one_variant_a_layout(self) -> KeyboardTemplate:
        if self.variant and self.variant.count(",") > self.layout.count(","):
            raise wrong("wrong-value", "names more variants than there are layouts", at="variant")
        return self


class FileTemplate(Section):
    local: Annotated[str, AfterValidator(rules.single_line)]
    """The file on the build host, or a folder, all of whose files are copied; a relative path begins at the
    template's folder."""
    final: Annotated[str, AfterValidator(system_rules.additional_file)]
    """Where it goes in the image; a folder can go to `/`."""
    mode: Annotated[str, AfterValidator(system_rules.mode)] | None = None
    """Its permissions, in octal digits and quotes: `"0640"`; else 0755 for what its owner may execute, 0644. Not for a
    folder, whose files differ."""
    owner: Annotated[str, AfterValidator(system_rules.owner)] | None = None
    """The user that it belongs to, by name or number, with all below it; `root` where it is left out."""
    group: Annotated[str, AfterValidator(system_rules.owner)] | None = None
    """The group that it belongs to, by name or number; the owner's own, or `root`, where it is left out."""
    stage: Annotated[str, AfterValidator(not_built(lambda value: value == ""))] | None = None
    """When in the build it is copied."""


class CarriedFileTemplate(Section):
    local: Annotated[str, AfterValidator(rules.single_line)]
    """The file on the build host; a relative path begins at the template's folder."""
    name: Annotated[str, AfterValidator(pattern(r"[A-Za-z0-9][A-Za-z0-9._+~-]{0,99}", "letters, digits, ._+~-"))]
    """Its name on the medium, in the folder `images`."""


class ConfigurationTemplate(Section):
    cmd: Annotated[str, AfterValidator(rules.command)]
    """A shell command, run inside the image's root after packages, users, network and files are there."""

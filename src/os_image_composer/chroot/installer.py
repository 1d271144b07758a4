"""What a package family's installer offers, and how it is found: the module `install_<family>` beside this one, so
that a family is named in provider data only."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, cast

from os_image_composer.build.step import Input, Step
from os_image_composer.errors import UsageError
from os_image_composer.ospackage.lock import PackageSet


@dataclass(frozen=True)
class Surroundings:
    """What the packages' scripts find around them: `held_back` programs do nothing while packages are installed,
    `environment` is added to the fixed one, `leftovers` (globs) are removed at the end."""

    package_arch: str
    held_back: tuple[str, ...]
    environment: tuple[tuple[str, str], ...]
    leftovers: tuple[str, ...]
    source_date_epoch: int

    def env(self) -> dict[str, str]:
        return {**dict(self.environment), "SOURCE_DATE_EPOCH": str(self.source_date_epoch)}


@dataclass(frozen=True)
class Installed:
    """`steps` install everything, inputs before what uses them; `layers` are those of them that the image's root
    consists of, lowest first."""

    steps: tuple[Step, ...]
    layers: tuple[Step, ...]


class Installer(Protocol):
    def installed(self, image: PackageSet, chroot: PackageSet, surroundings: Surroundings) -> Installed:
        """The steps that install the packages of the image, each transaction a layer, by the package manager of an
        environment that is made of the packages of `chroot` and is not part of the image."""


def all_of(role: str, steps: Iterable[Step]) -> tuple[Input, ...]:
    """The results of `steps` as inputs of one role, in their order."""
    return tuple(Input(role, step.name) for step in steps)


def installer_for(family: str) -> Installer:
    """Raises UsageError for a family that has no installer."""
    try:
        return cast(Installer, importlib.import_module(f"os_image_composer.chroot.install_{family}"))
    except ModuleNotFoundError as error:
        raise UsageError("unknown-family", f"there is no installer for package family {family}") from error

"""What a package family's installer offers, and how it is found: the module `install_<family>` beside this one, so
that a family is named in provider data only."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Protocol, cast

from os_image_composer.build.step import Action
from os_image_composer.chroot.services import PackageFile
from os_image_composer.errors import UsageError


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


class Installer(Protocol):
    """Steps that install packages; each adds a layer to those of role `lower`."""

    def essential(self, packages: tuple[PackageFile, ...], surroundings: Surroundings) -> Action:
        """Into an empty root: what every system of the distribution has, so that packages can be installed."""

    def environment(self, packages: tuple[PackageFile, ...], surroundings: Surroundings) -> Action:
        """Onto that: the distribution's own package manager, which gives the chroot environment."""

    def transaction(self, packages: tuple[PackageFile, ...], surroundings: Surroundings) -> Action:
        """Onto any layers: `packages` in one transaction, by the package manager of role `chroot`."""


def installer_for(family: str) -> Installer:
    """Raises UsageError for a family that has no installer."""
    try:
        return cast(Installer, importlib.import_module(f"os_image_composer.chroot.install_{family}"))
    except ModuleNotFoundError as error:
        raise UsageError("unknown-family", f"there is no installer for package family {family}") from error

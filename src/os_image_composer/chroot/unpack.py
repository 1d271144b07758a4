"""An environment that is only unpacked: no script of its packages is ever run, so it is a pure function of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from os_image_composer.build.step import Kind, Work
from os_image_composer.chroot.services import PackageFile, Services


@dataclass(frozen=True)
class UnpackPackages:
    """Unpack `packages` over one another, in that order."""

    kind: ClassVar[str] = "unpack-packages"
    version: ClassVar[int] = 1
    result: ClassVar[Kind] = Kind.TREE

    packages: tuple[PackageFile, ...]

    def run(self, work: Work[Services]) -> None:
        services = work.services
        services.sandbox.unpack(work.output, services.packages.contents(self.packages))

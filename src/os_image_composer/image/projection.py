"""The part of the OS configuration that an initrd can see.

The initrd is made from the package layers and this projection, so a host name leaves it alone and a file under the
generator's configuration folders does not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from os_image_composer.build.step import Kind, Work
from os_image_composer.chroot.job import Remove, Tree
from os_image_composer.chroot.services import Services


@dataclass(frozen=True)
class ProjectConfiguration:
    """A layer with what matches `patterns` (globs) in the configured root, and a whiteout for each such file that
    the packages have and the configuration removed."""

    kind: ClassVar[str] = "project-configuration"
    version: ClassVar[int] = 1
    result: ClassVar[Kind] = Kind.TREE

    patterns: tuple[str, ...]

    def run(self, work: Work[Services]) -> None:
        sandbox = work.services.sandbox
        packages, configured = work.all("packages"), work.all("configuration")
        whole = Tree((*packages, *configured))
        sandbox.project(whole, self.patterns, work.output)
        gone = {*sandbox.glob(Tree(packages), *self.patterns)} - {*sandbox.glob(whole, *self.patterns)}
        if gone:
            sandbox.edit(Tree(packages, work.output), [Remove(path) for path in sorted(gone)])

"""A small signed archive with every package that a distribution's data name, and settings that use nothing else: what
resolves, plans and explains without a network and in a second."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from os_image_composer.config.spec import Target
from support.deb_repository import NOW
from support.small_data import Described, SmallData, small_data


@dataclass(frozen=True)
class SmallArchive:
    """`settings` is the file for --config; `template` writes a template and gives its path."""

    data: SmallData

    @property
    def root(self) -> Path:
        return self.data.folder

    @property
    def settings(self) -> Path:
        return self.root / "settings.yml"

    @property
    def cache(self) -> Path:
        return self.root / "cache"

    def said(self, name: str) -> str:
        """Name and version of a package that does nothing, as the command tells of it."""
        return f"{name} 1.0" + ("-1" if self.data.family == "rpm" else "")

    def template(self, body: str, name: str = "small.yml") -> Path:
        """`body` begins at line 3."""
        target = self.data.target
        head = (
            'image: {name: small, version: "1"}\n'
            f"target: {{os: {target.os}, dist: {target.dist}, arch: {target.arch}, imageType: raw}}\n"
        )
        path = self.root / name
        path.write_text(head + body)
        return path


def small_archive(root: Path, *packages: Described, family: str = "deb", target: Target | None = None) -> SmallArchive:
    """`packages` replace those of the same names that do nothing; `target` is one of the family that is not the usual
    one."""
    archive = SmallArchive(small_data(family, root, NOW, packages, target))
    archive.settings.write_text(
        f"config_dir: {archive.data.data}\ncache_dir: {archive.cache}\nwork_dir: {root}/work\n"
        + archive.data.mirrors(f"file://{archive.data.root}")
    )
    return archive

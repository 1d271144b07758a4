"""A small signed archive with every package that the debian13 data names, and settings that use nothing else: what
resolves, plans and explains without a network and in a second."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from os_image_composer.config.findings import Plain, plain
from os_image_composer.config.yaml_source import read_yaml
from support.deb_repository import DebRepository, MadePackage, deb

CHECKOUT = Path(__file__).parents[2]
HEAD = """\
image: {name: small, version: "1"}
target: {os: debian, dist: debian13, arch: x86_64, imageType: raw}
"""


@dataclass(frozen=True)
class SmallArchive:
    """`settings` is the file for --config; `template` writes a template and gives its path."""

    root: Path

    @property
    def settings(self) -> Path:
        return self.root / "settings.yml"

    @property
    def cache(self) -> Path:
        return self.root / "cache"

    def template(self, body: str, name: str = "small.yml") -> Path:
        """`body` begins at line 3."""
        path = self.root / name
        path.write_text(HEAD + body)
        return path


def small_archive(root: Path, *packages: MadePackage) -> SmallArchive:
    """`packages` replace those of the same names that do nothing."""
    data = root / "config"
    shutil.copytree(CHECKOUT / "config", data)
    folder = data / "osv" / "debian" / "debian13"
    mirror = DebRepository(root / "mirror")
    own = {p.fields["Package"] for p in packages}
    mirror.add(*packages)
    mirror.add(*(deb(name, essential=_essential(name), installed_size="100") for name in sorted(_named(data) - own)))
    mirror.write()
    (folder / "providerconfigs" / "x86_64_repo.yml").write_text(
        "repositories:\n"
        f"  - {{name: debian, mirror: debian, url: null, suites: [stable], components: [main], priority: 500,\n"
        f"     fingerprints: [{mirror.key.fingerprint.upper()}], keyrings: [{mirror.keyring}]}}\n"
    )
    archive = SmallArchive(root)
    archive.settings.write_text(
        f"config_dir: {data}\ncache_dir: {archive.cache}\nwork_dir: {root}/work\n"
        f"mirrors: {{debian: 'file://{mirror.root}'}}\n"
    )
    return archive


def _essential(name: str) -> str:
    return "yes" if name in ("base-files", "bash") else "no"


def _named(data: Path) -> set[str]:
    """Every package that the data names."""
    folder = data / "osv" / "debian" / "debian13"
    default = plain(read_yaml(folder / "imageconfigs" / "defaultconfigs" / "default-raw-x86_64.yml"))
    tools = plain(read_yaml(data / "osv" / "image-tools.yml"))
    chroot = plain(read_yaml(folder / "chrootenvconfigs" / "chrootenv_x86_64.yml"))
    return {*_words(default, "systemConfig", "packages"), *_words(default, "systemConfig", "kernel", "packages")} | {
        *_words(tools, "packages"),
        *_words(chroot, "packages"),
    }


def _words(value: Plain, *keys: str) -> list[str]:
    for key in keys:
        assert isinstance(value, dict)
        value = value[key]
    assert isinstance(value, list)
    return [str(word) for word in value]

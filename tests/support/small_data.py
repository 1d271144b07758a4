"""The data of a shipped distribution of either package family with a small repository of the test's own in place of its
vendor's: every package that the data or a sample asks for is there, by name only.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from os_image_composer.config.distribution_data import default_template_path, load_distribution, load_image_tools
from os_image_composer.config.load import load_image_spec
from os_image_composer.config.spec import Target
from support.deb_repository import DebRepository, MadePackage, deb
from support.rpm_package import INT32, MadeRpm, rpm
from support.rpm_repository import RpmRepository

CHECKOUT = Path(__file__).parents[2]
DATA = CHECKOUT / "config"
_TARGETS = {"deb": ("debian", "debian13"), "rpm": ("azure-linux", "azl3")}
_DEB_ARCH = {"x86_64": "amd64", "aarch64": "arm64"}
_ESSENTIAL = ("base-files", "bash", "util-linux")  # of the family that marks such packages
_TOOLS = "tools"  # the mirror of the image tools, where they are not the distribution's own packages


@dataclass(frozen=True)
class Described:
    """A package in the words of both families; relations are names, files absolute paths."""

    name: str
    version: str = "1.0"
    depends: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()
    provides: tuple[str, ...] = ()
    recommends: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    mebibytes: float = 0.1  # when it is installed
    built: int = 1  # in seconds since the epoch, where the family's metadata says so


@dataclass
class SmallData:
    """`mirrors` goes on in a settings file that names this data: URLs by name, below `root`. `wanted` is a target of
    the family that is not the usual one."""

    family: str
    folder: Path
    date: float
    wanted: Target | None = None
    repository: DebRepository | RpmRepository = field(init=False)
    tools: DebRepository = field(init=False)

    def __post_init__(self) -> None:
        self.target = self.wanted or Target(*_TARGETS[self.family], "x86_64", "raw")
        self.data = self.folder / "data"
        shutil.copytree(DATA, self.data)
        if self.family == "deb":
            self.tools = self.repository = DebRepository(self.root / "own", date=self.date)
        else:
            self.repository = RpmRepository(self.root / "own", date=int(self.date), arch=self.target.arch)
            self.tools = DebRepository(self.root / _TOOLS, date=self.date, arch=_DEB_ARCH[self.target.arch])

    @property
    def root(self) -> Path:
        """What is served: folders of the mirrors' names."""
        return self.folder / "mirror"

    @property
    def template(self) -> Path:
        """The smallest sample of the distribution; the OS default template of an architecture that has none."""
        sample = CHECKOUT / "image-templates" / f"{self.target.dist}-{self.target.arch}-minimal-raw.yml"
        return sample if sample.exists() else default_template_path(DATA, self.target)

    def mirrors(self, url: str) -> str:
        """A line of a settings file; `url` leads to `root`."""
        further = f", {_TOOLS}: '{url}/{_TOOLS}'" if self.family != "deb" else ""
        return f"mirrors: {{own: '{url}/own'{further}}}\n"

    def write(self, *packages: MadePackage | MadeRpm) -> None:
        """Repositories with `packages`, which take the place of those of the same names that do nothing."""
        own = {name_of(package) for package in packages}
        repository: Any = self.repository
        repository.add(*packages, *(self._plain(name) for name in sorted(self._names() - own)))
        tools = load_image_tools(DATA)
        wanted = {*tools.packages, *tools.format_packages}
        missing = wanted - {name_of(package) for package in self.tools.packages}
        self.tools.packages += [deb(name, arch=self.tools.arch) for name in sorted(missing)]
        if self.tools is not self.repository:
            self.tools.write()
            self._describe(Path(tools.os, tools.dist), _TOOLS, self.tools)
        self.repository.write()
        self._describe(Path(self.target.os, self.target.dist), "own", self.repository)

    def made(self, package: Described) -> MadePackage | MadeRpm:
        """As the distribution's own family writes it."""
        if self.family == "rpm":
            return rpm(
                package.name,
                f"{package.version}-1",
                arch=self.target.arch,
                requires=package.depends,
                conflicts=package.conflicts,
                provides=package.provides,
                recommends=package.recommends,
                files=dict.fromkeys(package.files, b""),
                tags={1006: (INT32, [package.built]), 1009: (INT32, [int(package.mebibytes * (1 << 20))])},
            )
        kinds = ("depends", "conflicts", "provides", "recommends")
        relations: dict[str, tuple[str, ...]] = {kind: getattr(package, kind) for kind in kinds}
        fields: dict[str, Any] = {key: ", ".join(names) for key, names in relations.items() if names}
        fields["installed_size"] = str(int(package.mebibytes * 1024))
        if package.name in _ESSENTIAL:
            fields["essential"] = "yes"
        files = {f".{path}": b"" for path in package.files} or None
        return deb(package.name, package.version, files=files, **fields)

    def package_file(self, name: str) -> Path:
        for repository in (self.repository, self.tools):
            for package in repository.packages:
                if name_of(package) == name:
                    if isinstance(repository, DebRepository):
                        assert isinstance(package, MadePackage)
                        return repository.pool_path(package)
                    assert isinstance(package, MadeRpm)
                    return repository.path(package)
        raise KeyError(name)

    def _plain(self, name: str) -> MadePackage | MadeRpm:
        return self.made(Described(name))

    def _describe(self, place: Path, mirror: str, repository: DebRepository | RpmRepository) -> None:
        suites = ", suites: [stable], components: [main]" if isinstance(repository, DebRepository) else ""
        text = (
            f"repositories:\n  - {{name: {mirror}, mirror: {mirror}, url: null{suites}, priority: 500,\n"
            f"     fingerprints: [{repository.key.fingerprint.upper()}], keyrings: [{repository.keyring}]}}\n"
        )
        for file in (self.data / "osv" / place).glob("providerconfigs/*_repo.yml"):
            file.write_text(text)

    def _names(self) -> set[str]:
        target = self.target
        templates = (self.template, default_template_path(DATA, target))
        groups = (group for path in templates for group in load_image_spec(path, DATA).package_groups)
        names = {name.partition("=")[0] for group in groups for name in group.packages}
        names |= set(load_distribution(target.os, target.dist, target.arch, DATA).chroot_packages)
        tools = load_image_tools(DATA)
        own = (
            {"base-files", "util-linux", "apt", *tools.packages, *tools.format_packages}
            if self.family == "deb"
            else set()
        )
        return names | own


def name_of(package: MadePackage | MadeRpm) -> str:
    return package.name if isinstance(package, MadeRpm) else package.fields["Package"]


def small_data(
    family: str, folder: Path, date: float, packages: Iterable[Described] = (), target: Target | None = None
) -> SmallData:
    """Data with repositories that are written."""
    data = SmallData(family, folder, date, target)
    data.write(*map(data.made, packages))
    return data

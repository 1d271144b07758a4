"""The steps that make the bill of materials: licences once for a set of packages, then the two documents.

They describe what the package database of the finished root says, not what the lock wanted: a command of the template
may have removed a package. The lock adds what the database does not know: hashes, addresses, dependencies.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar
from uuid import UUID, uuid5

from os_image_composer.build.canonical import canonical_json
from os_image_composer.build.step import Kind, Work
from os_image_composer.chroot.job import Tree, WriteFile
from os_image_composer.chroot.services import Services
from os_image_composer.config.distribution import Distribution
from os_image_composer.errors import StepError
from os_image_composer.formats.os_release import parse_os_release
from os_image_composer.ospackage.family import PackageFamily, family_for
from os_image_composer.ospackage.inventory import InstalledPackage
from os_image_composer.ospackage.lock import Lock, LockedPackage
from os_image_composer.report.bill import Bill, Component, parse_supplier
from os_image_composer.report.cyclonedx import cyclonedx_json
from os_image_composer.report.spdx import spdx_json

FOLDER = "usr/share/sbom"
_LICENCES = "licences.json"
_DATABASE = 256 << 20  # bytes of a package database at most
_OS_RELEASE = ("etc/os-release", "usr/lib/os-release")


@dataclass(frozen=True)
class DeclaredPackage:
    """What the lock and the distribution's data know of a package: `path` is its file's below the repository, `url`
    where the vendor offers it, where the data say that; `depends` are names."""

    name: str
    version: str
    arch: str
    sha256: str
    path: str
    url: str | None
    depends: tuple[str, ...]


def declared_packages(lock: Lock, distribution: Distribution) -> tuple[DeclaredPackage, ...]:
    """The packages of the image, sorted. Which mirror served them is no part of the image: another one, or the next
    when the first is down, must not change it."""
    bases = {repository.name: repository.url for repository in distribution.repositories}

    def url(package: LockedPackage) -> str | None:
        base = bases.get(package.repository.partition("/")[0])
        return f"{base.rstrip('/')}/{package.path}" if base else None

    return tuple(
        DeclaredPackage(p.name, p.version, p.arch, p.sha256, p.path, url(p), p.depends)
        for p in sorted(lock.sets["image"].packages())
    )


@dataclass(frozen=True)
class ReadLicences:
    """Licences by package, as the packages' own files in the root or its package database declare them. Only the
    package layers count, so a new host name does not read them again."""

    kind: ClassVar[str] = "read-licences"
    version: ClassVar[int] = 2
    result: ClassVar[Kind] = Kind.FILES

    family: str

    def run(self, work: Work[Services]) -> None:
        family, tree = family_for(self.family), Tree(work.all("lower"))
        packages = _installed(work, family, tree)
        files = {package: f"/{path}" for package in packages if (path := family.licence_file(package)) is not None}
        contents = work.services.sandbox.read(tree, list(files.values()))
        found: dict[str, str] = {}
        texts: dict[str, str] = {}
        for package in packages:
            licence = family.licence(package, contents.get(files.get(package, ""), b""))
            if licence is not None:
                found[package.name] = licence.expression
                texts |= licence.texts
        text = json.dumps({"licences": found, "texts": texts}, indent=1, sort_keys=True)
        (work.output / _LICENCES).write_text(text + "\n")
        work.say(f"{len(found)} of {len(packages)} packages declare their licence in a form that a machine can read")


@dataclass(frozen=True)
class WriteBill:
    """A layer with the bill of materials in both formats, named after the image."""

    kind: ClassVar[str] = "write-bill"
    version: ClassVar[int] = 3
    result: ClassVar[Kind] = Kind.TREE

    family: str
    purl_namespace: str | None
    image: str
    image_version: str
    arch: str
    seed: str
    source_date_epoch: int
    packages: tuple[DeclaredPackage, ...]

    def run(self, work: Work[Services]) -> None:
        lower = work.all("lower")
        family, sandbox = family_for(self.family), work.services.sandbox
        installed = _installed(work, family, Tree(lower))
        files = sandbox.read(Tree(lower), [f"/{path}" for path in _OS_RELEASE])
        release = parse_os_release(next((files[f"/{p}"] for p in _OS_RELEASE if f"/{p}" in files), b""))
        bill = self._bill(family, installed, release, _read_licences(work.one("licences")))
        documents = {spdx_name(self.image): spdx_json(bill), cyclonedx_name(self.image): cyclonedx_json(bill)}
        edits = [WriteFile(f"/{FOLDER}/{name}", text.encode()) for name, text in documents.items()]
        sandbox.edit(Tree(lower, work.output), edits)

    def _bill(
        self, family: PackageFamily, installed: tuple[InstalledPackage, ...], release: dict[str, str], licences: Any
    ) -> Bill:
        vendor, number = release.get("ID", "linux"), release.get("VERSION_ID", "")
        purls = {package: family.purl(package, self.purl_namespace or vendor, number) for package in installed}
        declared = {(p.name, p.version, p.arch): p for p in self.packages}
        by_name: dict[str, str] = {}
        for package, purl in purls.items():
            by_name.setdefault(package.name, purl)
        components = []
        for package, purl in purls.items():
            locked = declared.get((package.name, package.version, package.arch))
            depends = {by_name[name] for name in (locked.depends if locked else ()) if name in by_name} - {purl}
            components.append(
                Component(
                    name=package.name,
                    version=package.version,
                    arch=package.arch,
                    purl=purl,
                    source=package.source,
                    source_version=package.source_version,
                    supplier=parse_supplier(package.maintainer),
                    homepage=_web_address(package.homepage),
                    licence=licences["licences"].get(package.name),
                    sha256=locked.sha256 if locked else None,
                    path=locked.path if locked else None,
                    url=locked.url if locked else None,
                    depends=tuple(sorted(depends)),
                )
            )
        used = {word.strip("()") for c in components for word in (c.licence or "").split()}
        return Bill(
            image=self.image,
            version=self.image_version,
            arch=self.arch,
            os=release.get("PRETTY_NAME", vendor),
            # Another UUID for another content, and never the plan's id (it would have to contain itself).
            uuid=str(uuid5(UUID(self.seed), f"bill/{self.image_version}/{canonical_json(components)}")),
            created=self.source_date_epoch,
            components=tuple(sorted(components, key=lambda c: c.purl)),
            licence_texts={name: text for name, text in licences["texts"].items() if name in used},
        )


def spdx_name(image: str) -> str:
    return f"{image}.spdx.json"


def cyclonedx_name(image: str) -> str:
    return f"{image}.cdx.json"


def bill_files(layer: Path, image: str, version: str) -> Iterator[tuple[str, Path]]:
    """By the names that they get beside the image, the documents in the layer that `WriteBill` made."""
    for name in (spdx_name, cyclonedx_name):
        yield name(f"{image}-{version}"), layer / FOLDER / name(image)


def _installed(work: Work[Services], family: PackageFamily, tree: Tree) -> tuple[InstalledPackage, ...]:
    sandbox = work.services.sandbox
    paths = sandbox.glob(tree, *family.databases())
    files = sandbox.read(tree, [f"/{p}" for p in paths], _DATABASE)
    packages = family.installed({path.lstrip("/"): content for path, content in files.items()})
    if not packages:
        raise StepError("no-package-database", "the image has no package database, so it cannot be said what is in it")
    return packages


def _read_licences(folder: Path) -> Any:
    return json.loads((folder / _LICENCES).read_text())


def _web_address(text: str) -> str | None:
    """Only what is one: both formats want a URL there, and packages say anything."""
    return text if text.startswith(("https://", "http://")) and not any(c.isspace() for c in text) else None

"""The command against a small repository of the test's own: everything that a build asks for is there, by name only."""

from __future__ import annotations

import io
import shutil
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from os_image_composer.cli.main import run
from os_image_composer.config.distribution_data import load_distribution, load_image_tools
from os_image_composer.config.load import load_image_spec
from support.deb_repository import DebRepository, MadePackage, Server, ar, deb, packed, served

CHECKOUT = Path(__file__).parents[2]
TEMPLATE = CHECKOUT / "image-templates" / "debian13-x86_64-minimal-raw.yml"
DATA = CHECKOUT / "config"


@dataclass
class HostileMirror:
    """`repository` is as it should be until a test changes it; `add` puts a package in place of the harmless one."""

    folder: Path
    repository: DebRepository
    server: Server
    replaced: dict[str, MadePackage] = field(default_factory=dict)

    @property
    def cache(self) -> Path:
        return self.folder / "cache"

    def add(self, package: MadePackage) -> None:
        name = package.fields["Package"]
        self.repository.packages = [p for p in self.repository.packages if p.fields["Package"] != name]
        self.repository.add(package).write()

    def command(self, *words: str) -> int:
        """The exit code of one command line."""
        return run(["--config", str(self.folder / "settings.yml"), *words])

    def kept(self) -> list[str]:
        """Files of images, results, packages and metadata that are there."""
        places = ("work", "cache/store", "cache/packages", "cache/metadata", "cache/locks", "cache/outputs")
        files = (p for place in places for p in (self.folder / place).rglob("*") if p.is_file())
        return sorted(str(p.relative_to(self.folder)) for p in files if not p.name.endswith("lock"))


@contextmanager
def hostile_mirror(folder: Path) -> Iterator[HostileMirror]:
    """A mirror of one suite, with the distribution data that speaks of it and a key of its own."""
    data = folder / "data"
    shutil.copytree(DATA, data)
    repository = DebRepository(folder / "mirror", date=float(int(time.time())) - 60)
    for file in data.glob("osv/debian/debian13/providerconfigs/*_repo.yml"):
        file.write_text(
            "repositories:\n"
            "  - {name: test, mirror: test, url: null, suites: [stable], components: [main], priority: 500,\n"
            f"     fingerprints: [{repository.key.fingerprint.upper()}], keyrings: [{repository.keyring}]}}\n"
        )
    for name in sorted(_names()):
        repository.add(deb(name, essential="yes") if name == "base-files" else deb(name))
    repository.write()
    with served(repository.root) as server:
        (folder / "settings.yml").write_text(
            f"config_dir: {data}\ncache_dir: {folder / 'cache'}\nwork_dir: {folder / 'work'}\nworkers: 1\n"
            f"mirrors: {{test: {server.url}}}\nnetwork: {{timeout: 1}}\n"
        )
        yield HostileMirror(folder, repository, server)


def _names() -> set[str]:
    spec = load_image_spec(TEMPLATE, DATA)
    target = spec.target
    names = {name.partition("=")[0] for group in spec.package_groups for name in group.packages}
    chroot = load_distribution(target.os, target.dist, target.arch, DATA).chroot_packages
    return names | set(chroot) | set(load_image_tools(DATA).packages) | {"base-files", "apt"}


def package_with(*entries: tarfile.TarInfo, control: bytes | None = None) -> MadePackage:
    """base-files with these entries in its data; `control` replaces its control file."""
    made = deb("base-files", essential="yes")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for entry in entries:
            archive.addfile(entry, io.BytesIO(b"x" * entry.size))
    text = control or "".join(f"{key}: {value}\n" for key, value in made.fields.items()).encode()
    inner = io.BytesIO()
    with tarfile.open(fileobj=inner, mode="w") as archive:
        info = tarfile.TarInfo("./control")
        info.size = len(text)
        archive.addfile(info, io.BytesIO(text))
    members = {
        "debian-binary": b"2.0\n",
        "control.tar.xz": packed(inner.getvalue(), ".xz"),
        "data.tar.xz": packed(buffer.getvalue(), ".xz"),
    }
    return MadePackage(made.fields, ar(members))


def entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", *, size: int = 0, uid: int = 0) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size, info.uid = kind, link, size, uid
    return info

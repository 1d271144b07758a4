"""A signed look-alike of the repository of Wind River eLxr 12, for who cannot reach the vendor's.

Its packages are Debian 12's, chosen, fetched and verified by the product itself, but for those names that Debian does
not have: these are made here and hold a note. The key is a new one each time. Nothing of it comes from the vendor.

with elxr_look_alike(folder, settings) as look_alike:
    look_alike.settings   # what a user writes into the settings file to build from it
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from os_image_composer.build.clock import SystemClock
from os_image_composer.build.events import silent
from os_image_composer.config.distribution_data import default_template_path, known_targets, load_distribution
from os_image_composer.config.load import load_image_spec
from os_image_composer.config.settings import Settings
from os_image_composer.config.spec import Target
from os_image_composer.ospackage.cache import PackageCache
from os_image_composer.ospackage.deb.archive import control_file
from os_image_composer.ospackage.fetch import fetch_packages
from os_image_composer.ospackage.lock import LockedPackage
from os_image_composer.ospackage.transport import HttpTransport
from os_image_composer.provider.provider import Provider
from os_image_composer.provider.services import Services
from support.deb_repository import DebRepository, MadePackage, SigningKey, deb, served

TARGET = Target("wind-river-elxr", "elxr12", "x86_64", "raw")
NOT_IN_DEBIAN = ("elxr-archive-keyring", "uefi-ext4")


@dataclass(frozen=True)
class LookAlike:
    """`url` is where it is served; `keyring` holds the key that signs it; `versions` are its packages'. `settings` is a
    settings file with which the distribution's data, unchanged, are built from here; `from_debian` are the paragraphs
    of the index for the packages that were not made."""

    url: str
    keyring: Path
    fingerprint: str
    versions: dict[str, str]
    settings: Path
    repository: DebRepository
    from_debian: tuple[bytes, ...]

    def publish(self, *packages: MadePackage) -> None:
        """What is there, and these packages beside it."""
        self.repository.add(*packages).write()
        self.repository.write_index(b"\n".join([self.repository.index_text(), *self.from_debian]))


@contextmanager
def elxr_look_alike(folder: Path, settings: Settings, more: Sequence[str] = ()) -> Iterator[LookAlike]:
    """Serve one below `folder` with what the OS default templates and the chroot environment need, and `more`."""
    data = settings.config_dir
    targets = [target for target in known_targets(data) if (target.os, target.dist) == (TARGET.os, TARGET.dist)]
    groups = [g for t in targets for g in load_image_spec(default_template_path(data, t), data).package_groups]
    own = load_distribution(TARGET.os, TARGET.dist, TARGET.arch, data)
    names = [*(name for group in groups for name in group.packages), *own.chroot_packages, *more]
    key = SigningKey("eLxr 12 look-alike, not the vendor's")
    repository = DebRepository(
        folder / "repository",
        suite=own.repositories[0].suites[0],
        empty_components=own.repositories[0].components[1:],
        date=time.time(),
        release={"Origin": "look-alike", "Label": "look-alike of eLxr 12", "Codename": "aria"},
        key=key,
    )
    made = [_made(name, key) for name in NOT_IN_DEBIAN]
    from_debian = _of_debian(folder, settings, [name for name in dict.fromkeys(names) if name not in NOT_IN_DEBIAN])
    (repository.root / "pool").mkdir(parents=True)
    entries = tuple(_entry(repository, package, file) for package, file in from_debian)
    versions = {package.name: package.version for package, _ in from_debian}
    versions |= {package.fields["Package"]: package.fields["Version"] for package in made}
    with served(repository.root) as server:
        fingerprint, user_settings = key.fingerprint.upper(), folder / "settings.yml"
        trust = f"{{fingerprints: [{fingerprint}], keyring: {repository.keyring}}}"
        user_settings.write_text(f"mirrors: {{elxr: '{server.url}'}}\nrepositories: {{elxr: {trust}}}\n")
        there = LookAlike(server.url, repository.keyring, fingerprint, versions, user_settings, repository, entries)
        there.publish(*made)
        yield there


def _made(name: str, key: SigningKey) -> MadePackage:
    files = {f"./usr/share/doc/{name}/README": b"Made for a test: a look-alike, nothing of the vendor's.\n"}
    if name == "elxr-archive-keyring":
        files["./usr/share/keyrings/elxr-archive-keyring.gpg"] = bytes(key.certificate)
    folders = sorted({f"{parent}/" for file in files for parent in Path(file).parents if str(parent) != "."})
    with_folders = {f"./{folder}": b"" for folder in folders} | files
    return deb(name, "12.0+look-alike", arch="all", files=with_folders, section="misc", priority="optional")


def _of_debian(folder: Path, settings: Settings, names: Sequence[str]) -> list[tuple[LockedPackage, Path]]:
    """Debian 12's packages for `names` and the Essential ones, in the product's own choice, as files of its cache."""
    template = folder / "wanted.yml"
    template.write_text(
        'image: {name: look-alike-source, version: "1"}\n'
        "target: {os: debian, dist: debian12, arch: x86_64, imageType: raw}\n"
        f"systemConfig: {{name: source, packages: [{', '.join(names)}]}}\n"
    )
    spec = load_image_spec(template, settings.config_dir)
    provider = Provider(spec.target, Services(settings, SystemClock(), silent))
    provider.init()
    lock = provider.pre_process(spec).lock
    found = {p.sha256: p for name in ("image", "chroot") for p in lock.sets[name].packages()}
    cache = PackageCache(settings.cache_dir / "packages")
    with HttpTransport(settings.network) as transport:
        fetch_packages([(lock.urls(package), package) for package in found.values()], cache, transport)
    return [(package, cache.path(package.sha256)) for package in sorted(found.values())]


def _entry(repository: DebRepository, package: LockedPackage, file: Path) -> bytes:
    """The paragraph of the index for a package that is put into the pool, from its own control file."""
    pool = repository.root / "pool" / package.file_name
    pool.symlink_to(file)
    control = control_file(file, "control")
    assert control is not None, file
    place = f"Filename: pool/{pool.name}\nSize: {package.size}\nSHA256: {package.sha256}\n"
    return control.rstrip() + b"\n" + place.encode()

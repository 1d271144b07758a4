"""Today's lock gives today's image, also when the repository has newer packages by then."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from os_image_composer.ospackage.lock import LockedPackage
from os_image_composer.ospackage.lock_file import read_lock
from support.commands import told
from support.deb_repository import deb, served
from support.look_alike import elxr_look_alike
from support.lookalike.made import AZL3, Lookalikes
from support.lookalike.repository import index, sign
from support.rpm_package import rpm
from support.workshop import CHECKOUT, Workshop, remove_workshop

pytestmark = [pytest.mark.build, pytest.mark.matrix, pytest.mark.timeout(1800)]

NEWER = "999-1"


@dataclass(frozen=True)
class Moving:
    """A look-alike of its own that a build with `settings` takes `dist` from; `move` puts a newer version of a package
    into it."""

    dist: str
    settings: Path
    move: Callable[[LockedPackage], None]


@contextmanager
def azl3(folder: Path, workshop: Workshop, lookalikes: Lookalikes) -> Iterator[Moving]:
    repository, settings, key = folder / "root" / AZL3, folder / "settings.yml", lookalikes.keys[AZL3]
    shutil.copytree(lookalikes.root / AZL3, repository)

    def move(package: LockedPackage) -> None:
        newer = rpm(package.name, NEWER, arch="noarch")
        (repository / "Packages" / newer.file_name).write_bytes(newer.signed(key))
        index(repository, "gz")
        sign(repository, key)

    with served(folder / "root") as server:
        settings.write_text(Lookalikes(folder / "root", lookalikes.keys).settings_text(server.url))
        yield Moving("azl3", settings, move)


@contextmanager
def elxr12(folder: Path, workshop: Workshop, lookalikes: Lookalikes) -> Iterator[Moving]:
    with elxr_look_alike(folder, workshop.settings()) as repository:

        def move(package: LockedPackage) -> None:
            repository.publish(deb(package.name, NEWER, arch="all"))

        yield Moving("elxr12", repository.settings, move)


Mover = Callable[[Path, Workshop, Lookalikes], AbstractContextManager[Moving]]


@pytest.mark.parametrize("moving", [azl3, elxr12])
def test_lock_gives_the_same_image_after_the_repository_moved_on(
    moving: Mover, lookalikes: Lookalikes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("moved-on")
    before, after = Workshop(folder / "before"), Workshop(folder / "after")
    with moving(folder, before, lookalikes) as there:
        template, flags = folder / f"{there.dist}.yml", ("--config", str(there.settings))
        shutil.copyfile(CHECKOUT / "image-templates" / f"{there.dist}-x86_64-minimal-raw.yml", template)
        assert before.run(*flags, "lock", str(template)).returncode == 0
        first = told(before.run(*flags, "build", "--json-events", "--locked", str(template)))

        replaced = leaf(read_lock(Path(f"{template}.lock")).lock.sets["image"].packages())
        there.move(replaced)
        again = folder / "again.yml"
        shutil.copyfile(template, again)
        assert before.run(*flags, "lock", str(again)).returncode == 0
        now = {p.name: p.version for p in read_lock(Path(f"{again}.lock")).lock.sets["image"].packages()}
        assert now[replaced.name] == NEWER != replaced.version

        # Another host: an empty cache, and the password hashes, which lie beside locks.
        (after.cache / "locks").mkdir(parents=True)
        for file in (before.cache / "locks").glob("*.secrets"):
            shutil.copy(file, after.cache / "locks")
        second = told(after.run(*flags, "build", "--json-events", "--locked", str(template)))
    assert "packages:default" in second.ran
    assert second.sha256 == first.sha256
    for workshop in (before, after):
        remove_workshop(workshop)


def leaf(packages: Iterable[LockedPackage]) -> LockedPackage:
    """The smallest package that no other needs and that needs none."""
    found = list(packages)
    needed = {name for package in found for name in package.depends}
    alone = [package for package in found if package.name not in needed and not package.depends]
    return min(alone, key=lambda package: package.size)

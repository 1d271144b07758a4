"""Today's lock gives today's image, also when the repository has newer packages by then."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

import pytest

from os_image_composer.ospackage.lock import LockedPackage
from os_image_composer.ospackage.lock_file import read_lock
from support.commands import told
from support.deb_repository import served
from support.lookalike.made import AZL3, Lookalikes
from support.lookalike.repository import index, sign
from support.rpm_package import rpm
from support.workshop import CHECKOUT, Workshop, remove_workshop

pytestmark = [pytest.mark.build, pytest.mark.matrix, pytest.mark.timeout(1800)]

SAMPLE = CHECKOUT / "image-templates" / "azl3-x86_64-minimal-raw.yml"


def test_lock_gives_the_same_image_after_the_repository_moved_on(
    lookalikes: Lookalikes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("moved-on")
    repository = folder / "root" / AZL3
    shutil.copytree(lookalikes.root / AZL3, repository)
    settings, template = folder / "settings.yml", folder / "azl3.yml"
    shutil.copyfile(SAMPLE, template)
    before, after = Workshop(folder / "before"), Workshop(folder / "after")
    with served(folder / "root") as server:
        settings.write_text(Lookalikes(folder / "root", lookalikes.keys).settings_text(server.url))
        flags = ("--config", str(settings))
        assert before.run(*flags, "lock", str(template)).returncode == 0
        first = told(before.run(*flags, "build", "--json-events", "--locked", str(template)))

        replaced = leaf(read_lock(Path(f"{template}.lock")).lock.sets["image"].packages())
        newer = rpm(replaced.name, "999-1", arch="noarch")
        (repository / "Packages" / newer.file_name).write_bytes(newer.signed(lookalikes.keys[AZL3]))
        index(repository, "gz")
        sign(repository, lookalikes.keys[AZL3])
        again = folder / "again.yml"
        shutil.copyfile(template, again)
        assert before.run(*flags, "lock", str(again)).returncode == 0
        now = {p.name: p.version for p in read_lock(Path(f"{again}.lock")).lock.sets["image"].packages()}
        assert now[replaced.name] == "999-1" != replaced.version

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

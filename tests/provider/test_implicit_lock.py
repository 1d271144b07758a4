"""The lock that a build keeps for a template without one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from os_image_composer.build.clock import FixedClock
from os_image_composer.ospackage.lock import Lock, LockedPackage, LockedRepository, PackageSet, Transaction
from os_image_composer.provider.implicit_lock import ImplicitLock

SEED = "8f8a2f51-54d1-4cf5-9ec5-6c8f6a0c3f0e"


def lock(url: str, date: int, version: str = "1") -> Lock:
    package = LockedPackage("a", version, "all", "r/s", "pool/a", 1, "ab" * 32, 1, False, "a 1", ())
    repository = LockedRepository("r/s", url, "s", date, None, "cd" * 32, ())
    return Lock(
        "o",
        "d",
        "x86_64",
        SEED,
        date,
        (repository,),
        {"image": PackageSet((Transaction("t", (package,)),), roots=("a",))},
    )


def test_same_packages_from_another_mirror_keep_the_lock_and_its_date_and_note_the_mirror(tmp_path: Path) -> None:
    implicit = ImplicitLock(tmp_path, "key", FixedClock(1000.0))
    first = implicit.renew(lock("https://one", 5))
    second = implicit.renew(lock("https://two", 9))
    assert (second.source_date_epoch, second.repositories[0].date) == (5, 5)
    assert second.repositories[0].url == "https://two"
    assert replace(second, repositories=()) == replace(first, repositories=())
    assert implicit.read(None) == second


def test_other_packages_are_a_new_lock(tmp_path: Path) -> None:
    implicit = ImplicitLock(tmp_path, "key", FixedClock(1000.0))
    implicit.renew(lock("https://one", 5))
    assert implicit.renew(lock("https://one", 9, "2")).source_date_epoch == 9


def test_damaged_lock_counts_as_none(tmp_path: Path) -> None:
    implicit = ImplicitLock(tmp_path, "key", FixedClock(1000.0))
    implicit.renew(lock("https://one", 5))
    text = implicit.path.read_text()
    for damaged in (text[:-5], text.replace("pool/a", "../../etc/x"), "\0", "{}"):
        implicit.path.write_text(damaged)
        assert implicit.read(None) is None
    implicit.path.write_bytes(b"\xff")
    assert implicit.read(None) is None

"""The installed tree of Azure Linux 3 and Edge Microvisor Toolkit 3, from the look-alikes, is the one that
`dnf --installroot` makes of the same packages: names, types, modes, owners, attributes, hard links and content. Where
they differ is listed, path by path, each with what causes it."""

from __future__ import annotations

import sqlite3
import tarfile
from contextlib import closing
from pathlib import Path

import pytest

from os_image_composer.chroot.job import Tree
from support.dnf import Dnf
from support.installed_tree import differences, read_tree, tar_of
from support.lookalike.made import AZL3, EMT3, Lookalikes
from support.workshop import CHECKOUT, Workshop

pytestmark = [pytest.mark.build, pytest.mark.matrix, pytest.mark.timeout(1800)]

MOST = 25  # paths that may differ
DATABASE = "/var/lib/rpm/rpmdb.sqlite"
_OURS = "ours: config/osv/azure-linux/azl3/config.yml, leftovers"

# KERNEL is the release of the kernel that the lock names.
DIFFERENT = {
    "/boot/initrd.img-KERNEL": "dracut in %posttrans, which we hold back: our initrd is a step of its own",
    "/etc/dnf": "dnf makes it for the next",
    "/etc/dnf/modules.d": "dnf, for the states of modules, of which there are none",
    "/etc/group-": f"systemd-sysusers, the list before its last change; {_OURS}",
    "/etc/gshadow-": f"systemd-sysusers, as above; {_OURS}",
    "/etc/machine-id": f"filesystem has an empty one; {_OURS}: the next layer writes it",
    "/var/cache/ldconfig/aux-cache": f"ldconfig, inode numbers of this very tree; {_OURS}",
    "/var/lib/rpm/.rpm.lock": f"rpm, its lock; {_OURS}",
    DATABASE: "pages lie in another order, as dnf opens it more often; the test compares every row of every table",
    f"{DATABASE}-shm": "index of a log that is empty: as large as the log once was",
}


@pytest.mark.parametrize(("dist", "path"), [("azl3", AZL3), ("emt3", EMT3)], ids=["azl3", "emt3"])
def test_installed_tree_is_that_of_dnf_but_for_listed_paths(
    dist: str, path: str, workshop: Workshop, rpm_settings: Path, lookalikes: Lookalikes, dnf: Dnf, tmp_path: Path
) -> None:
    template = CHECKOUT / "image-templates" / f"{dist}-x86_64-minimal-raw.yml"
    done = workshop.run("--config", str(rpm_settings), "build", str(template))
    assert done.returncode == 0, done.stdout + done.stderr
    lock = workshop.provider(template, rpm_settings)[1].lock
    packages = lock.sets["image"].transactions[0].packages  # those of the OS default template: one layer
    layer = workshop.results(template, rpm_settings)["packages:default"].content
    assert layer is not None
    tar_of(Tree((layer,)), tmp_path / "ours.tar", workshop.bare_sandbox())
    tar_of(dnf.install(packages, lookalikes.root / path, lock.source_date_epoch), tmp_path / "theirs.tar", dnf.sandbox)

    ours, theirs = read_tree(tmp_path / "ours.tar"), read_tree(tmp_path / "theirs.tar")
    assert len(ours) > 5_000
    (kernel,) = (name.removeprefix("/boot/vmlinuz-") for name in ours if name.startswith("/boot/vmlinuz-"))
    listed = {name.replace("KERNEL", kernel) for name in DIFFERENT}
    assert len(listed) <= MOST
    assert not listed & {"/etc/passwd", "/etc/group", "/etc/shadow"}  # who is who may never be on the list
    found = differences(ours, theirs)
    assert {name: words for name, words in found.items() if name not in listed} == {}
    assert sorted(listed - found.keys()) == []
    rows = rows_of_database(tmp_path / "ours.tar", tmp_path)
    assert len(rows["Packages"]) == len(packages)
    assert rows == rows_of_database(tmp_path / "theirs.tar", tmp_path)


def rows_of_database(tar: Path, folder: Path) -> dict[str, list[tuple[object, ...]]]:
    """Everything that the package database says, by table: headers with times and states of files, and its indexes."""
    copy = folder / "copy.sqlite"
    with tarfile.open(tar) as archive:
        content, log = (archive.extractfile(f".{DATABASE}{ending}") for ending in ("", "-wal"))
        assert content is not None
        assert log is not None
        assert log.read() == b""  # all of it is in the first file
        copy.write_bytes(content.read())
    with closing(sqlite3.connect(f"file:{copy}?immutable=1", uri=True)) as database:
        names = [name for (name,) in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        return {name: database.execute(f"SELECT * FROM '{name}'").fetchall() for name in sorted(names)}

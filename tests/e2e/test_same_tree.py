"""The installed tree is the one that mmdebstrap makes of the same packages: names, types, modes, owners, attributes,
hard links and content. Where they differ is listed, path by path, each with what causes it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from os_image_composer.chroot.job import Tree
from os_image_composer.config.distribution_data import load_distribution
from os_image_composer.ospackage.deb.apt_sources import host_mirrors
from os_image_composer.ospackage.mirrors import repositories_for
from support import mmdebstrap
from support.installed_tree import differences, read_tree, tar_of
from support.workshop import CHECKOUT, Workshop

pytestmark = [pytest.mark.build, pytest.mark.matrix, pytest.mark.timeout(1800)]

MOST = 25  # paths that may differ
_OURS = "ours: config/osv/debian/common.yml, leftovers"
_THEIRS = "mmdebstrap"

# KERNEL is the release of the kernel that the lock names.
DIFFERENT = {
    "/boot/initrd.img-KERNEL": "/etc/kernel/postinst.d/dracut, which we hold back: our initrd is a step of its own",
    "/dev": f"{_THEIRS} --skip=output/dev: it would write device nodes of its own, which no package has",
    "/etc/.resolv.conf.systemd-resolved.bak": f"postinst of systemd-resolved, of the build host's; {_OURS}",
    "/etc/apt/sources.list": f"{_THEIRS} writes the repositories it was given",
    "/etc/fstab": f"{_THEIRS} writes one that says it is not configured; ours is the next layer's",
    "/etc/group-": f"groupadd (adduser, systemd-sysusers), the list before its last change; {_OURS}",
    "/etc/gshadow-": f"groupadd, as above; {_OURS}",
    "/etc/hostname": f"{_THEIRS} copies the build host's; ours is the next layer's",
    "/etc/machine-id": f"postinst of systemd; {_OURS}: the next layer writes an empty one",
    "/etc/passwd-": f"useradd, as above; {_OURS}",
    "/etc/shadow-": f"useradd, as above; {_OURS}",
    "/initrd.img": f"linux-update-symlinks in postinst of the kernel; {_OURS}: it would lead nowhere",
    "/initrd.img.old": f"linux-update-symlinks, as above; {_OURS}",
    "/run/lock": "systemd-tmpfiles, which postinst of systemd calls; our /run is no part of the tree",
    "/run/lock/subsys": "systemd-tmpfiles, as above",
    "/var/cache/apt/archives/lock": f"apt-get, which {_THEIRS} runs in the tree; ours is in the chroot environment",
    "/var/cache/apt/archives/partial": "apt-get, as above: it gives the folder to _apt before a download",
    "/var/cache/debconf/config.dat-old": f"debconf, its database before its last change; {_OURS}",
    "/var/cache/debconf/templates.dat-old": f"debconf, as above; {_OURS}",
    "/var/lib/apt/extended_states": "apt-get in the tree",
    "/var/lib/apt/lists/lock": "apt-get update in the tree",
    "/var/lib/apt/lists/partial": "apt-get update in the tree",
    "/var/lib/dpkg/diversions-old": f"dpkg-divert, the list before its last change; {_OURS}",
    "/var/lib/dpkg/status-old": f"dpkg, as above; {_OURS}",
}

DIFFERENT_IN = {
    "debian12": {},
    "debian13": {
        "/var/cache/debconf/tmp.ci": "apt-extracttemplates, which apt-get calls before it installs in the tree"
    },
}


@pytest.mark.parametrize("dist", list(DIFFERENT_IN))
def test_installed_tree_is_that_of_mmdebstrap_but_for_listed_paths(
    dist: str, workshop: Workshop, tmp_path: Path
) -> None:
    assert shutil.which("mmdebstrap"), "scripts/install-host-packages --test installs it"
    template = CHECKOUT / "image-templates" / f"{dist}-x86_64-minimal-raw.yml"
    done = workshop.run("build", str(template))
    assert done.returncode == 0, done.stdout + done.stderr
    lock = workshop.provider(template)[1].lock
    packages = lock.sets["image"].transactions[0].packages  # those of the OS default template: one layer
    results = workshop.results(template)
    layers = tuple(content for name in ("essential", "packages:default") if (content := results[name].content))
    tar_of(Tree(layers), tmp_path / "ours.tar", workshop.bare_sandbox())

    known = load_distribution("debian", dist, "x86_64", CHECKOUT / "config")
    repositories = repositories_for(known, {}, host_mirrors(Path("/etc")))
    mmdebstrap.install(packages, repositories, known.package_arch, lock.source_date_epoch, tmp_path / "theirs.tar")

    kernel = next(p for p in packages if p.name.startswith("linux-image-") and p.name[12].isdigit())
    listed = {
        path.replace("KERNEL", kernel.name.removeprefix("linux-image-")) for path in DIFFERENT | DIFFERENT_IN[dist]
    }
    assert len(listed) <= MOST
    # Neither the database of the packages (versions, states, file lists) nor who is who may ever be on the list.
    assert not listed & {"/var/lib/dpkg/status", "/etc/passwd", "/etc/group", "/etc/shadow"}
    ours, theirs = read_tree(tmp_path / "ours.tar"), read_tree(tmp_path / "theirs.tar")
    assert len(ours) > 10_000
    assert "/var/lib/dpkg/status" in ours
    found = differences(ours, theirs)
    assert {path: words for path, words in found.items() if path not in listed} == {}
    assert sorted(listed - found.keys()) == []

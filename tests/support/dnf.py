"""dnf 4 as the judge of package sets and of installed trees: Debian 12's own, unpacked into a folder of the test's, so
that the host needs none. It runs in a sandbox of the product, with repositories on disk."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from os_image_composer.chroot.ids import IdMap
from os_image_composer.chroot.job import Bind, Completed, Job, MakeDirectory, Mount, MountedTree, Tree, WriteFile
from os_image_composer.chroot.sandbox import Sandbox
from os_image_composer.config.settings import load_settings
from os_image_composer.ospackage.deb.archive import open_data_tar
from os_image_composer.ospackage.lock import LockedPackage
from support.lookalike import debian

# Debian's rpm looks in ~/.rpmdb; what is mounted in the root can be given to nobody.
_MACROS = "%_dbpath /var/lib/rpm\n%_netsharedpath /proc:/sys\n"
# What dnf writes down for itself lies in /tmp of the root, which is no part of the tree.
_CONFIGURATION = """\
[main]
gpgcheck=0
install_weak_deps=False
best=False
reposdir=/nonexistent
varsdir=/nonexistent
cachedir=/tmp/dnf/cache
logdir=/tmp/dnf
persistdir=/tmp/dnf/persist
"""
# Where the kernel's filesystems and those in memory are mounted meanwhile; modes as everywhere.
_MOUNTED = {"/proc": 0o555, "/sys": 0o555, "/dev": 0o755, "/run": 0o755, "/tmp": 0o1777}
_ARGV = ("dnf", "--installroot=/target", "--releasever=3.0", "--forcearch=x86_64")
_CHOSEN = re.compile(r"^ (\S+) +(\S+) +(\S+) +(repository\d)\b", re.MULTILINE)


@dataclass(frozen=True)
class _Content:
    name: str
    path: Path

    def open(self) -> BinaryIO:
        return open_data_tar(self.path)


@dataclass
class Dnf:
    """`environment` holds dnf and is in no tree that it installs; those are below `folder`."""

    environment: Tree
    sandbox: Sandbox
    folder: Path
    roots: int = 0

    def chooses(self, repositories: Sequence[Path], names: str) -> set[str] | None:
        """What it would install into an empty root, without weak dependencies; None where it refuses."""
        done = self._run(Tree((), self._new_root()), repositories, ("--assumeno", "install", *names.split()))
        output = done.output.decode()
        if "Operation aborted" not in output:
            assert "Problem" in output or "Unable to find a match" in output, output
            return None
        found = _CHOSEN.findall(output)
        return {f"{name}-{version.removeprefix('0:')}.{arch}" for name, arch, version, _ in found}

    def install(self, packages: Iterable[LockedPackage], repository: Path, epoch: int) -> Tree:
        """Exactly these packages, with their scriptlets; `epoch` stands for the time that is written down."""
        root = self._new_root()
        names = [f"{p.name}-{p.version}.{p.arch}" for p in packages]
        done = self._run(Tree((), root), [repository], ("--assumeyes", "install", *names), SOURCE_DATE_EPOCH=str(epoch))
        assert done.status == 0, "\n".join(done.tail(60))
        return Tree((root,))

    def _new_root(self) -> Path:
        self.roots += 1
        root = self.folder / f"root{self.roots}"
        self.sandbox.new_layer(root)
        self.sandbox.edit(Tree((), root), [MakeDirectory(path, mode) for path, mode in _MOUNTED.items()])
        return root

    def _run(self, root: Tree, repositories: Sequence[Path], words: tuple[str, ...], **environment: str) -> Completed:
        lines = [_CONFIGURATION]
        mounts: list[Mount] = [MountedTree(root, "/target", api=True)]
        for number, path in enumerate(repositories):
            lines.append(f"[repository{number}]\nname=r\nbaseurl=file:///run/repository{number}\n")
            mounts.append(Bind(path, f"/run/repository{number}"))
        configuration = self.folder / "dnf.conf"
        configuration.write_text("".join(lines))
        mounts.append(Bind(configuration, "/run/dnf.conf"))
        env = {"HOME": "/root", "COLUMNS": "400", **environment}
        return self.sandbox.run(Job(self.environment, (*_ARGV, "-c", "/run/dnf.conf", *words), tuple(mounts), env=env))


@contextmanager
def unpacked_dnf(folder: Path, cache: Path) -> Iterator[Dnf]:
    """Below `folder`, which is removed in the end; the packages that it is made of are kept in `cache`."""
    scratch = folder / "jobs"
    scratch.mkdir(parents=True)
    settings = load_settings(None, dict(os.environ), Path.cwd())
    sandbox = Sandbox(IdMap.for_caller(settings.root_id_range), scratch)
    environment = folder / "environment"
    try:
        sandbox.new_layer(environment)
        sandbox.unpack(environment, [_Content(deb.name, deb.path) for deb in debian.fetch(cache, ("dnf",))])
        sandbox.edit(Tree((), environment), [WriteFile("/etc/rpm/macros", _MACROS.encode())])
        yield Dnf(Tree((environment,)), sandbox, folder)
    finally:
        sandbox.remove([path for path in folder.iterdir() if path != scratch])

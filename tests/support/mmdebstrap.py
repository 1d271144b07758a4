"""mmdebstrap as the judge of an installed tree: the same packages in the same versions, installed by the host's apt
and the packages' own scripts, as an ordinary user."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from os_image_composer.ospackage.lock import LockedPackage
from os_image_composer.ospackage.resolve import Repository

# As debootstrap does: else usrmerge, which Debian 12 takes, converts the tree afterwards and breaks hard links.
_MERGE_USR = """
for name in bin lib lib64 sbin; do mkdir -p "$1/usr/$name" && ln -s "usr/$name" "$1/$name" || exit 1; done
"""


def install(
    packages: Iterable[LockedPackage], repositories: Sequence[Repository], arch: str, epoch: int, target: Path
) -> None:
    """Write a tar of the installed tree to `target`; `epoch` stands for the time that scripts write down. dpkg syncs
    every file: a TMPDIR in memory makes it ten times as fast on a busy disk."""
    wanted = ",".join(f"{package.name}={package.version}" for package in packages)
    argv = [
        *("mmdebstrap", "--mode=unshare", "--format=tar", "--variant=apt", "--skip=output/dev"),
        *(f"--architectures={arch}", f"--setup-hook={_MERGE_USR}", f"--include={wanted}"),
        *(repositories[0].suites[0], str(target)),
        *(line for repository in repositories for line in _sources(repository)),
    ]
    names = ("HOME", "PATH", "TMPDIR")
    env = {name: os.environ[name] for name in names if name in os.environ}
    env |= {"LC_ALL": "C.UTF-8", "SOURCE_DATE_EPOCH": str(epoch)}
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=1500, umask=0o022)
    assert done.returncode == 0, done.stderr[-4000:]


def _sources(repository: Repository) -> Iterable[str]:
    keyring = next(path for path in repository.keyrings if path.exists())
    for suite in repository.suites:
        components = " ".join(repository.components)
        yield f"deb [signed-by={keyring}] {repository.urls[0]} {suite} {components}"

"""What lies around a transaction, whatever the family: the package files by name, programs that do nothing meanwhile,
and the question whether what is installed is what was locked."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from os_image_composer.build.step import Work
from os_image_composer.chroot.services import PackageFile, Services
from os_image_composer.errors import StepError

PACKAGES = "/run/packages"  # where the package manager finds the files
HELD_BACK = "/run/held-back"  # first in the scripts' PATH
SCRIPT_PATH = f"{HELD_BACK}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def place_packages(
    work: Work[Services], packages: Sequence[PackageFile], file_name: Callable[[PackageFile], str]
) -> Path:
    """A folder with the verified files of `packages` under their names."""
    folder = work.scratch / "packages"
    folder.mkdir()
    files = work.services.packages.files(packages)
    for package in packages:
        _link(files[package.sha256], folder / file_name(package))
    return folder


def hold_back(work: Work[Services], names: Sequence[str]) -> Path:
    """A folder of programs that succeed and do nothing."""
    folder = work.scratch / "held-back"
    folder.mkdir(mode=0o755)
    for name in names:
        stub = folder / name
        stub.write_text("#!/bin/sh\nexit 0\n")
        stub.chmod(0o755)
    return folder


def expect_installed(found: Mapping[str, str], wanted: Mapping[str, str]) -> None:
    """Raises StepError unless exactly `wanted`, versions by name, is what was found."""
    if dict(found) != dict(wanted):
        odd = sorted(found.items() ^ wanted.items())
        raise StepError(
            "installed-set-differs",
            "the installed packages are not the locked ones",
            cause=", ".join(f"{name} {version}" for name, version in odd[:10]),
        )


def _link(source: Path, target: Path) -> None:
    """A second name for a file of the cache, or a copy where the cache is on another filesystem."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)

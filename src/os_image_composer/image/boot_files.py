"""The shape of the folder that the boot step leaves, and that signing and the disk take up."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from os_image_composer.build.step import Work
from os_image_composer.chroot.job import Tree
from os_image_composer.chroot.services import Services
from os_image_composer.config.distribution import PackagedFile
from os_image_composer.errors import StepError

# A tree: every file of the EFI system partition under the path that it has there.
ESP = "esp"
# GRUB's two programs for a BIOS.
BIOS = "bios"
BIOS_BOOT = f"{BIOS}/boot.img"
BIOS_CORE = f"{BIOS}/core.img"
# A tree: files that go into the root filesystem, for a boot loader that reads them there.
ROOT = "root"

# Where systemd-boot looks for unified kernel images, for entries, and for its own settings (Boot Loader Specification).
UKI_FOLDER = "EFI/Linux"
ENTRIES_FOLDER = "loader/entries"
LOADER_CONF = "loader/loader.conf"


def place(output: Path, part: str, path: str) -> Path:
    """The file that becomes `path` of a part of the boot step's folder `output`; the folder it lies in is made."""
    file = output / part / PurePosixPath(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    return file


def efi_programs(folder: Path) -> Iterator[Path]:
    """The files that begin as EFI programs do, in the order of their names."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                if file.read(2) == b"MZ":
                    yield path


def require(work: Work[Services], tree: Tree, *files: PackagedFile) -> None:
    """Raises StepError `no-boot-files` for the first of `files` that is not in `tree`."""
    for file in files:
        if not work.services.sandbox.glob(tree, file.path):
            raise StepError(
                "no-boot-files",
                f"the image has no /{file.path}",
                cause=f"the package {file.package} brings it",
                hint=f"add {file.package} to systemConfig.packages",
            )

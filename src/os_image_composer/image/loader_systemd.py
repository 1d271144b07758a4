"""systemd-boot: the program, its settings, and the names by which it orders and counts what it starts.

Sources: loader.conf(5); UAPI Group, Boot Loader Specification (UAPI.1), "Boot counting"; systemd, "Automatic Boot
Assessment".
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from os_image_composer.build.step import Work
from os_image_composer.chroot.job import Tree
from os_image_composer.chroot.services import Services
from os_image_composer.config.distribution import PackagedFile
from os_image_composer.image.boot_files import ESP, LOADER_CONF, place, require
from os_image_composer.image.kernel import Kernel


@dataclass(frozen=True)
class Menu:
    """`timeout` is in seconds. `tries` is how often an entry is started before it is given up; None: not counted."""

    timeout: int = 0
    tries: int | None = None


def entry_name(name: str, kernel: Kernel | None) -> str:
    """What an entry is called, without its suffix; of lower case, as systemd-boot compares it. `kernel` None is for an
    image that has one entry only."""
    return f"{name}-{kernel.release}".lower() if kernel else name.lower()


def counted(entry: str, menu: Menu | None) -> str:
    """The name of an entry's file, without its suffix: `+N` are the tries that are left."""
    return f"{entry}+{menu.tries}" if menu and menu.tries else entry


def write_loader_conf(output: Path, menu: Menu, default: str | None, suffix: str) -> None:
    """loader.conf(5). `default` is the entry that is started where there are several: with its tries left in its name
    or, once they are confirmed, without."""
    chosen = f"default {default}[.+]*{suffix.lstrip('.')}\n" if default else ""
    text = f"timeout {menu.timeout}\n{chosen}console-mode keep\n"
    place(output, ESP, LOADER_CONF).write_text(text)


def install_systemd_boot(
    work: Work[Services], target: Tree, loader: str, removable_path: str, counts: PackagedFile | None
) -> None:
    """Put the boot loader where firmware looks for it. `counts` is the program that confirms boots which are counted.
    Raises StepError `no-boot-files` where that is not in the image."""
    if counts is not None:
        require(work, target, counts)
    work.services.sandbox.export(target, {f"/{loader}": place(work.output, ESP, removable_path)})

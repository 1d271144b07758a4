"""Kernels and initrds as plain files on the EFI system partition, where every boot loader for EFI can read them,
whatever the root filesystem is."""

from __future__ import annotations

from dataclasses import dataclass

from os_image_composer.build.step import Work
from os_image_composer.chroot.job import Tree
from os_image_composer.chroot.services import Services
from os_image_composer.errors import StepError
from os_image_composer.formats.os_release import parse_os_release
from os_image_composer.image.boot_files import ESP, place
from os_image_composer.image.initrd import initrd_file
from os_image_composer.image.kernel import Kernel

OS_RELEASE = "/usr/lib/os-release"


@dataclass(frozen=True)
class KernelFiles:
    """Paths from the root of the filesystem that has them."""

    kernel: Kernel
    linux: str
    initrd: str


@dataclass(frozen=True)
class System:
    """What os-release(5) calls the system."""

    title: str
    id: str


def copy_kernels(
    work: Work[Services], target: Tree, kernels: tuple[Kernel, ...], folder: str
) -> tuple[KernelFiles, ...]:
    """Every kernel of `kernels` and its initrd in a folder of its own below `folder` (Boot Loader Specification,
    "Type #1": a token of the installation, then the version)."""
    found = []
    for kernel in kernels:
        files = KernelFiles(kernel, f"{folder}/{kernel.release}/linux", f"{folder}/{kernel.release}/initrd.img")
        work.services.sandbox.export(target, {f"/{kernel.path}": place(work.output, ESP, files.linux)})
        place(work.output, ESP, files.initrd).write_bytes(initrd_file(work.one("initrd"), kernel).read_bytes())
        found.append(files)
    return tuple(found)


def system_of(work: Work[Services], target: Tree) -> System:
    """Raises StepError `no-boot-files` where the image has no os-release(5)."""
    found = work.services.sandbox.read(target, [OS_RELEASE])
    if OS_RELEASE not in found:
        raise StepError("no-boot-files", f"the image has no {OS_RELEASE}", hint="add the package that has it")
    fields = parse_os_release(found[OS_RELEASE])
    title = "".join(c for c in fields.get("PRETTY_NAME", "Linux") if c.isprintable())
    name = "".join(c for c in fields.get("ID", "linux") if c.isalnum() or c in "._-")
    return System(title, name)

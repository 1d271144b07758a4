"""systemd-boot with entries: kernel and initrd as files of their own, and a text that names them for each kernel.

Source: UAPI Group, Boot Loader Specification (UAPI.1), "Type #1 Boot Loader Specification Entries".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from os_image_composer.build.step import Kind, Work
from os_image_composer.chroot.job import Tree
from os_image_composer.chroot.services import Services
from os_image_composer.config.distribution import PackagedFile
from os_image_composer.errors import StepError
from os_image_composer.image.boot_files import ENTRIES_FOLDER, ESP, place
from os_image_composer.image.kernel import KernelChoice
from os_image_composer.image.kernel_files import KernelFiles, System, copy_kernels, system_of
from os_image_composer.image.loader_systemd import Menu, counted, entry_name, install_systemd_boot, write_loader_conf


@dataclass(frozen=True)
class MakeEntries:
    """`name` is the token of the installation: it begins the entries' names, and its folder has the files. The rest is
    as in `MakeUki`."""

    kind: ClassVar[str] = "make-entries"
    version: ClassVar[int] = 1
    result: ClassVar[Kind] = Kind.FILES

    name: str
    cmdline: str
    kernels: KernelChoice
    loader: str
    removable_path: str
    menu: Menu
    counts: PackagedFile | None

    def run(self, work: Work[Services]) -> None:
        sandbox = work.services.sandbox
        target = Tree(work.all("lower"))
        kernels = self.kernels.find(sandbox, target)
        if not sandbox.glob(target, self.loader):
            hint = "add the package that has it to systemConfig.packages"
            raise StepError("no-boot-files", f"the image has no /{self.loader}", hint=hint)
        install_systemd_boot(work, target, self.loader, self.removable_path, self.counts)
        default = entry_name(self.name, kernels[0]) if self.kernels.every else None
        write_loader_conf(work.output, self.menu, default, ".conf")
        system = system_of(work, target)
        for files in copy_kernels(work, target, kernels, self.name.lower()):
            file = f"{counted(entry_name(self.name, files.kernel), self.menu)}.conf"
            place(work.output, ESP, f"{ENTRIES_FOLDER}/{file}").write_text(entry(system, files, self.cmdline))


def entry(system: System, files: KernelFiles, cmdline: str) -> str:
    """The text of an entry. Paths begin at the root of the partition that it lies on."""
    fields = (
        ("title", system.title),
        ("version", files.kernel.release),
        ("sort-key", system.id),
        ("options", cmdline),
        ("linux", f"/{files.linux}"),
        ("initrd", f"/{files.initrd}"),
    )
    return "".join(f"{key} {value}\n" for key, value in fields)

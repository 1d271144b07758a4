"""What starts a live system under secure boot: systemd-boot and one unified kernel image on the EFI system partition.
For a BIOS there is GRUB, as on a medium that nobody signs.

Each entry of systemd-boot's menu starts the same program, whose command line is part of what is signed. Which entry it
was is said by systemd-boot in a variable of the firmware, where the initrd looks (live-choice.sh in config/osv/live).
The program is not where systemd-boot looks for such, or the menu would have an entry more.

Sources: UAPI Group, Boot Loader Specification (UAPI.1), "Type #1 Boot Loader Specification Entries"; systemd, "The Boot
Loader Interface" (LoaderEntrySelected).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from os_image_composer.build.step import Kind, Work
from os_image_composer.chroot.job import Tree
from os_image_composer.chroot.services import Services
from os_image_composer.config.distribution import GrubData, PackagedFile
from os_image_composer.image.boot_files import ENTRIES_FOLDER, ESP, place, require
from os_image_composer.image.initrd import initrd_file
from os_image_composer.image.kernel import Kernel, KernelChoice
from os_image_composer.image.kernel_files import OS_RELEASE, system_of
from os_image_composer.image.live_grub import place_bios, place_kernel, place_menu
from os_image_composer.image.live_menu import CHOICE, NO_ROOT_PARTITION, Variant, variants
from os_image_composer.image.loader_systemd import Menu, install_systemd_boot, write_loader_conf
from os_image_composer.image.pe import check_uki
from os_image_composer.image.root_files import read_root_hash
from os_image_composer.image.ukify import Parts, unify

_UKI = "EFI/live/live.efi"


@dataclass(frozen=True)
class MakeSignedLiveBoot:
    """As `MakeLiveBoot`; `stub` and `loader` are systemd's own. The input `verity` has the root hash of a sealed root,
    and `sealed` what the command line says then beside it. Nothing is signed here."""

    kind: ClassVar[str] = "make-signed-live-boot"
    version: ClassVar[int] = 1
    result: ClassVar[Kind] = Kind.FILES

    title: str | None
    label: str
    cmdline: str
    kernels: KernelChoice
    grub: GrubData
    stub: PackagedFile
    loader: PackagedFile
    removable_path: str
    timeout: int
    sealed: str
    source_date_epoch: int

    def run(self, work: Work[Services]) -> None:
        target = Tree(work.all("lower"))
        require(work, target, self.stub, self.loader)
        root_hash = next((read_root_hash(folder) for folder in work.all("verity")), None)
        entries = variants(self.title or system_of(work, target).title, self.label, root_hash)
        cmdline = " ".join([*(self.sealed.split() if root_hash else ()), *self.cmdline.split()])
        place_bios(work, target, self.grub)
        kernel = place_kernel(work, target, self.kernels)
        place_menu(work, entries, self.timeout, cmdline)
        install_systemd_boot(work, target, self.loader.path, self.removable_path, None)
        write_loader_conf(work.output, Menu(self.timeout), entries[0].identifier, ".conf")
        for name, text in loader_entries(entries):
            place(work.output, ESP, f"{ENTRIES_FOLDER}/{name}").write_text(text)
        words = (*entries[0].words, CHOICE, NO_ROOT_PARTITION, cmdline)
        self._unify(work, target, kernel, " ".join(word for word in words if word))

    def _unify(self, work: Work[Services], target: Tree, kernel: Kernel, cmdline: str) -> None:
        stub, original = work.scratch / "stub", work.scratch / "kernel"
        work.services.sandbox.export(target, {f"/{self.stub.path}": stub, f"/{kernel.path}": original})
        uki = place(work.output, ESP, _UKI)
        initrd = initrd_file(work.one("initrd"), kernel)
        parts = Parts(kernel, initrd, cmdline, self.stub.path, OS_RELEASE.lstrip("/"), stub)
        unify(work, target, parts, uki, self.source_date_epoch)
        check_uki(uki, original, stub)


def loader_entries(entries: tuple[Variant, ...]) -> Iterator[tuple[str, str]]:
    """Name and text of each entry's file. Entries are shown in the order of their sort keys."""
    for number, entry in enumerate(entries, 1):
        text = f"title {entry.title}\nsort-key live-{number}\nefi /{_UKI}\n"
        yield f"{entry.identifier}.conf", text

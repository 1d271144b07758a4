"""A raw disk in the format of a hypervisor: written by qemu-img, then without what that makes up or looks up.

Ids that would be random follow from the SHA-256 of the raw disk. So the same disk is the same file, whoever converts
it and when; and two versions of an image are two disks to a hypervisor. VirtualBox refuses a second one with the same
id, and the GUID of the partition table is that of all versions of an image.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar
from uuid import UUID

from os_image_composer.build.step import Kind, Work
from os_image_composer.chroot.services import Services
from os_image_composer.errors import StepError
from os_image_composer.image.format_vdi import settle_vdi
from os_image_composer.image.format_vhd import settle_vhd
from os_image_composer.image.format_vhdx import settle_vhdx
from os_image_composer.image.format_vmdk import settle_vmdk
from os_image_composer.image.identifiers import derived_uuid
from os_image_composer.image.pack_job import SOURCE, pack

# Namespace of the ids of disks: a random UUID, fixed for ever.
_DISKS = "d6000fef-7855-4521-afa4-e927f5d1b73c"
# qemu-img's name of a format, and the options that decide over its bytes. A VHD keeps the disk's own size (force_size)
# instead of the next one that cylinders, heads and sectors can tell, as Azure demands. VMware attaches a disk of the
# adapter type lsilogic to any of its SCSI controllers.
WRITERS = {
    ("qcow2", None): ("qcow2", "compat=1.1,cluster_size=65536,lazy_refcounts=off"),
    ("vhd", "fixed"): ("vpc", "subformat=fixed,force_size=on"),
    ("vhd", "dynamic"): ("vpc", "subformat=dynamic,force_size=on"),
    ("vhdx", None): ("vhdx", "subformat=dynamic"),
    ("vmdk", "monolithic"): ("vmdk", "subformat=monolithicSparse,adapter_type=lsilogic"),
    ("vmdk", "streamOptimized"): ("vmdk", "subformat=streamOptimized,adapter_type=lsilogic"),
    ("vdi", None): ("vdi", "static=off"),
}


@dataclass(frozen=True)
class PackDisk:
    """`format` and `subformat` as a template says them. `own_name` is the name that a vmdk has, which stands in it."""

    kind: ClassVar[str] = "pack-disk"
    version: ClassVar[int] = 1
    result: ClassVar[Kind] = Kind.ARTIFACT

    format: str
    subformat: str | None = None
    own_name: str | None = None

    def run(self, work: Work[Services]) -> None:
        writer, options = WRITERS[self.format, self.subformat]
        output = f"/run/pack/{self.own_name or 'disk'}"
        argv = ("qemu-img", "convert", "-f", "raw", "-O", writer, "-o", options, SOURCE, output)
        pack(work, argv, source=work.one("disk"), output=output)
        try:
            _settle(self.format, work.output, work.digest("disk"))
        except ValueError as error:
            raise StepError(
                "not-packed", f"qemu-img wrote no {self.format} that is understood here", cause=str(error)
            ) from error


def plain_name(name: str) -> str | None:
    """A file's name as it may stand in a vmdk's descriptor, between quotes; None for one that may not."""
    return name if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]*", name) else None


def _settle(form: str, path: Path, digest: str) -> None:
    """Give the file ids that follow from the raw disk's SHA-256."""

    def derived(purpose: str) -> UUID:
        return derived_uuid(_DISKS, digest, form, purpose)

    if form == "vhdx":
        settle_vhdx(path, derived("disk"), derived("written"))
        return
    with path.open("r+b") as file:
        if form == "vhd":
            settle_vhd(file, derived("disk"))
        elif form == "vmdk":
            # 0xffffffff is that of no parent.
            settle_vmdk(file, derived("content").int >> 96 & 0x7FFFFFFF)
        elif form == "vdi":
            settle_vdi(file, derived("disk"), derived("changed"))

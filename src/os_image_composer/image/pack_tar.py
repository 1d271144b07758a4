"""The root filesystem as a tar: owners by number, modes, links, times, attributes.

Written by GNU tar from the merged view of the layers, in the namespace that made them, so that owners and file
capabilities are those that the image has. POSIX.1-2001 pax format: access and change times, which would be the
build's, are left out, and headers are named without a process number. Attributes follow an allow-list, as in a disk's
filesystem: capabilities, access lists, and those of the namespace user.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from os_image_composer.build.step import Kind, Work
from os_image_composer.chroot.job import MountedTree, Tree
from os_image_composer.chroot.services import Services
from os_image_composer.image.pack_job import OUTPUT, pack
from os_image_composer.image.selinux import Labels
from os_image_composer.image.tar_labels import label_tar

_TREE = "/target"


@dataclass(frozen=True)
class PackTar:
    """The tree is the stack of layers `lower`, with the input `labels` where it is to have SELinux's; no time in it is
    later than `source_date_epoch`."""

    kind: ClassVar[str] = "pack-tar"
    version: ClassVar[int] = 1
    result: ClassVar[Kind] = Kind.ARTIFACT

    source_date_epoch: int

    def run(self, work: Work[Services]) -> None:
        argv = (
            *("tar", "--create", f"--file={OUTPUT}", f"--directory={_TREE}"),
            *("--format=posix", "--pax-option=delete=atime,delete=ctime,exthdr.name=%d/PaxHeaders/%f"),
            *("--sort=name", "--numeric-owner", f"--mtime=@{self.source_date_epoch}", "--clamp-mtime"),
            *("--xattrs", "--xattrs-include=security.capability", "--xattrs-include=user.*", "--acls"),
            ".",
        )
        pack(work, argv, MountedTree(Tree(work.all("lower")), _TREE))
        if work.all("labels"):
            label_tar(work.output, Labels.read(work.one("labels")))

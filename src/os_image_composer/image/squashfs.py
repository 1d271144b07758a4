"""The root filesystem compressed into one file that is only ever read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from os_image_composer.build.step import Kind, Work
from os_image_composer.chroot.job import Bind, Job, MountedTree, Tree
from os_image_composer.chroot.services import Services
from os_image_composer.errors import StepError
from os_image_composer.image.attributes import CAPABILITY, check_lost
from os_image_composer.image.medium import SQUASHFS

_TARGET, _OUTPUT = "/target", "/run/root"
# A megabyte packs 6 % better than the usual 128 KiB, and a system that starts reads most of it anyway.
_BLOCK = "1M"


@dataclass(frozen=True)
class WriteSquashfs:
    """The stack of layers `lower`. Times are clamped; owners, modes, hard links and capabilities are as they are."""

    kind: ClassVar[str] = "write-squashfs"
    version: ClassVar[int] = 1
    result: ClassVar[Kind] = Kind.FILES

    compression: str
    source_date_epoch: int

    def run(self, work: Work[Services]) -> None:
        sandbox, tree, made = work.services.sandbox, Tree(work.all("lower")), work.output / SQUASHFS
        check_lost(sandbox.survey(tree).xattrs, (CAPABILITY,), "the squashfs of a live ISO")
        sandbox.new_file(made, 0)
        argv = (
            *("mksquashfs", _TARGET, _OUTPUT, "-noappend", "-no-progress", "-quiet", "-no-recovery"),
            *("-comp", self.compression, "-b", _BLOCK, "-xattrs-include", "^security.capability$"),
        )
        mounts = (MountedTree(tree, _TARGET), Bind(made, _OUTPUT, read_only=False))
        # Times, the filesystem's own among them, follow it; with it -all-time and -mkfs-time are refused.
        env = {"SOURCE_DATE_EPOCH": str(self.source_date_epoch)}
        done = sandbox.run(Job(Tree(work.all("tools")), argv, mounts, env=env), work.say)
        sandbox.own(made)
        made.chmod(0o644)  # read next as root of the sandbox, which is not the caller where that is root
        if done.status:
            raise StepError("root-not-packed", "mksquashfs did not write the root filesystem", detail=done.tail())

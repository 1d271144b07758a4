"""dm-verity: the hash tree over the root filesystem, and the one digest that stands for all of it.

Data and tree are plain files here; the kernel reads the same bytes from two partitions.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from os_image_composer.build.step import Kind, Work
from os_image_composer.chroot.job import Bind, Job, Tree
from os_image_composer.chroot.services import Services
from os_image_composer.errors import StepError
from os_image_composer.image.medium import SQUASHFS
from os_image_composer.image.root_files import HASH_TREE, ROOT_HASH, ROOT_IMAGE

_PLACE = "/run/data"


@dataclass(frozen=True)
class FormatVerity:
    """Over the file of the input `root`. `salt` is 64 hex digits; `uuid` stands in the tree's superblock."""

    kind: ClassVar[str] = "format-verity"
    version: ClassVar[int] = 1
    result: ClassVar[Kind] = Kind.FILES

    salt: str
    uuid: str

    def run(self, work: Work[Services]) -> None:
        format_verity(work, ROOT_IMAGE, self.salt, self.uuid)


@dataclass(frozen=True)
class FormatLiveVerity:
    """The same over the squashfs of a live system, which is in the input `root`."""

    kind: ClassVar[str] = "format-live-verity"
    version: ClassVar[int] = 1
    result: ClassVar[Kind] = Kind.FILES

    salt: str
    uuid: str

    def run(self, work: Work[Services]) -> None:
        format_verity(work, SQUASHFS, self.salt, self.uuid)


def format_verity(work: Work[Services], file: str, salt: str, uuid: str) -> None:
    """Leave the hash tree and the root hash of `file` of the input `root`. Raises StepError `root-not-sealed`."""
    sandbox, tools = work.services.sandbox, Tree(work.all("tools"))
    made = work.output / HASH_TREE
    sandbox.new_file(made, 0)
    argv = (
        *("veritysetup", "format", f"--salt={salt}", f"--uuid={uuid}"),
        *("--hash=sha256", "--data-block-size=4096", "--hash-block-size=4096"),
        *(f"{_PLACE}/{file}", f"/run/{HASH_TREE}"),
    )
    mounts = (Bind(work.one("root"), _PLACE), Bind(made, f"/run/{HASH_TREE}", read_only=False))
    done = sandbox.run(Job(tools, argv, mounts))
    sandbox.own(made)
    # "Root hash:      	4e1b…" is the last line; `--root-hash-file` would want a third file to write to.
    said = done.output.decode("utf-8", "replace")
    found = re.search(r"^Root hash:\s*([0-9a-f]{64})$", said, re.MULTILINE)
    if done.status or found is None:
        raise StepError("root-not-sealed", "veritysetup made no hash tree of the root", detail=done.tail())
    (work.output / ROOT_HASH).write_text(f"{found[1]}\n")

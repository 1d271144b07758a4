"""From a file in the format of a hypervisor, or a compressed one, back to the raw disk."""

from __future__ import annotations

import errno
import io
from pathlib import Path

from os_image_composer.build.step import Work
from os_image_composer.chroot.job import Bind, Job, Tree
from os_image_composer.chroot.services import Services
from os_image_composer.errors import ImageError, StepError
from os_image_composer.image.pack_job import SOURCE, pack
from os_image_composer.ospackage.expanding import BLOCK, EXPANSION_ERRORS, expanding

#: How compressed files begin, and by which name `expanding` knows them.
COMPRESSIONS = {b"\x28\xb5\x2f\xfd": ".zst", b"\xfd7zXZ\0": ".xz", b"\x1f\x8b": ".gz", b"BZh": ".bz2"}
_READERS = {"qcow2": "qcow2", "vhd": "vpc", "vhdx": "vhdx", "vmdk": "vmdk", "vdi": "vdi"}
_CHECKED = ("qcow2", "vhdx", "vmdk", "vdi")  # which qemu-img can check
_LARGEST = 1 << 44  # bytes
_ZEROS = bytes(BLOCK)


def unpack_disk(work: Work[Services], form: str, image: Path) -> None:
    """The step's output becomes the raw disk in its input `file`, which has the format `form` and names no other file.
    It is anybody's, so what reads it runs in the sandbox, where nothing of the host can be seen. Raises ImageError
    `damaged-image`, which names `image`, where its tables contradict each other; StepError."""
    source, output = work.one("file"), "/run/pack/disk"
    if form in _CHECKED:
        _check(work, ("qemu-img", "check", "-f", _READERS[form], SOURCE), source, image)
    argv = ("qemu-img", "convert", "-f", _READERS[form], "-O", "raw", SOURCE, output)
    pack(work, argv, source=source, output=output)


def _check(work: Work[Services], argv: tuple[str, ...], source: Path, image: Path) -> None:
    """qemu-img(1), "check": 3 is space that nothing uses, and no harm to what is read."""
    sandbox = work.services.sandbox
    with sandbox.lent(source):
        done = sandbox.run(Job(Tree(work.all("tools")), argv, (Bind(source, SOURCE),)))
    if done.status not in (0, 3):
        raise ImageError(
            "damaged-image",
            f"{image} is damaged, or was cut off",
            cause=f"qemu-img check ended with exit status {done.status}",
            detail=done.tail(),
            hint="copy it again, or let `qemu-img check -r all` mend a copy",
        )


def expand(packed: Path, form: str, target: Path) -> None:
    """The plain bytes of a compressed file, zeros as holes. Raises ImageError `damaged-image`, StepError
    `output-full`."""
    size = 0
    try:
        with packed.open("rb") as file, target.open("xb") as writer, expanding(file, form) as stream:
            target.chmod(0o600)
            while block := _read(packed, stream):
                if block != _ZEROS[: len(block)]:
                    writer.seek(size)
                    writer.write(block)
                size += len(block)
                if size > _LARGEST:
                    raise ImageError("damaged-image", f"{packed} expands to more than {_LARGEST} bytes")
            writer.truncate(size)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise StepError("output-full", f"no space is left in {target.parent.parent}", hint="free some") from error


def _read(packed: Path, stream: io.BufferedIOBase) -> bytes:
    try:
        return stream.read(BLOCK)
    except EXPANSION_ERRORS as error:
        raise ImageError("damaged-image", f"{packed} is damaged", cause=f"it cannot be expanded: {error}") from error
    except OSError as error:
        if error.errno is not None:
            raise
        # bzip2's way of saying it
        raise ImageError("damaged-image", f"{packed} is damaged", cause=f"it cannot be expanded: {error}") from error

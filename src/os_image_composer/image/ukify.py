"""ukify: kernel, initrd and command line become one EFI program. The target's own is run where the image has it, which
is then of the stub's version; else that of the image tools."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from os_image_composer.build.step import Work
from os_image_composer.chroot.job import Bind, Job, Mount, MountedTree, Tree
from os_image_composer.chroot.services import Services
from os_image_composer.errors import StepError
from os_image_composer.formats.pe import content, parse_pe, room_of
from os_image_composer.formats.window import Window
from os_image_composer.image.kernel import Kernel

_PROGRAM = "usr/bin/ukify"
_INITRD = "/run/initrd"
_OUTPUT = "/uki.efi"

# The table of revocations that a signed UKI carries (shim, SBAT.md): the line that every table begins with, and what
# ukify adds to the stub's own unless it is told something else.
_SBAT_HEAD = "sbat,1,SBAT Version,sbat,1,https://github.com/rhboot/shim/blob/main/SBAT.md"
_SBAT_OF_UKIFY = b"uki,1,UKI,uki,1,https://uapi-group.org/specifications/specs/unified_kernel_image/\n\n\0"


@dataclass(frozen=True)
class Parts:
    """What is put together; `stub` and `os_release` are paths in the image root, `own_stub` is a copy of the stub."""

    kernel: Kernel
    initrd: Path
    cmdline: str
    stub: str
    os_release: str
    own_stub: Path


def unify(work: Work[Services], target: Tree, parts: Parts, uki: Path, source_date_epoch: int) -> None:
    """Write the unified kernel image to `uki`. Raises StepError `uki-not-made`, `no-boot-files`."""
    sandbox = work.services.sandbox
    upper = work.scratch / f"ukify-{uki.name}"
    sandbox.new_layer(upper)
    root, prefix = Tree(target.lower, upper), ""
    mounts: tuple[Mount, ...] = (Bind(parts.initrd, _INITRD),)
    own = bool(sandbox.glob(target, _PROGRAM))
    if not own:
        root, prefix = Tree(work.all("tools"), upper), "/target"
        mounts = (MountedTree(target, prefix), *mounts)
    whose = "image" if own else "image tools"
    work.say(f"ukify of the {whose}")
    argv = (*_argv(parts, prefix), *_sbat(parts.own_stub))
    done = sandbox.run(Job(root, argv, mounts, env={"SOURCE_DATE_EPOCH": str(source_date_epoch)}), work.say)
    if done.status:
        raise StepError(
            "uki-not-made",
            f"ukify of the {whose} made no unified kernel image",
            detail=done.tail(),
            hint=f"without the package of /{_PROGRAM} in the image, the image tools' is used" if own else None,
        )
    sandbox.export(root, {_OUTPUT: uki})


def _argv(parts: Parts, prefix: str) -> tuple[str, ...]:
    return (
        # By name: its first line asks for env(1), which an environment of image tools need not have.
        "python3",
        f"/{_PROGRAM}",
        "build",
        f"--linux={prefix}/{parts.kernel.path}",
        f"--initrd={_INITRD}",
        f"--cmdline={parts.cmdline}",
        f"--os-release=@{prefix}/{parts.os_release}",
        f"--uname={parts.kernel.release}",
        f"--stub={prefix}/{parts.stub}",
        f"--output={_OUTPUT}",
    )


def _sbat(stub: Path) -> tuple[str, ...]:
    """ukify writes the stub's SBAT lines and its own over the stub's section without asking how far the section
    reaches in memory. The stub of systemd 252 has 256 bytes there, and lacks room for more lines than its own."""
    data = Window.of(stub.read_bytes())
    try:
        image = parse_pe(data)
        fits = len(content(image, data, ".sbat").rstrip(b"\0")) + len(_SBAT_OF_UKIFY) <= room_of(image, ".sbat")
    except ValueError as error:
        raise StepError(
            "no-boot-files", f"{stub.name} is no stub of a unified kernel image", cause=str(error)
        ) from error
    return () if fits else (f"--sbat={_SBAT_HEAD}",)

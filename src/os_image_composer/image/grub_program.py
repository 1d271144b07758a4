"""GRUB made into one program by the distribution's own grub-mkimage from the distribution's own modules.

Its modules are all inside: nothing is loaded from the disk later, which secure boot forbids anyway. It reads `grub.cfg`
in the folder `prefix`; one without a device is on the disk that the program itself was started from.
"""

from __future__ import annotations

from pathlib import Path

from os_image_composer.build.step import Work
from os_image_composer.chroot.job import Job, Tree, WriteFile
from os_image_composer.chroot.services import Services
from os_image_composer.config.distribution import GrubPlatform, PackagedFile
from os_image_composer.errors import StepError
from os_image_composer.formats.pe import content, parse_pe
from os_image_composer.formats.window import Window
from os_image_composer.image.boot_files import require

_CORE = "/grub-core"
_EARLY = "/early.cfg"
_SBAT = "/grub-sbat"
# What a menu needs, and what somebody at GRUB's prompt reaches for first.
_COMMON = (
    *("part_gpt", "normal", "boot", "configfile", "echo", "test", "true", "ls", "cat", "minicmd", "sleep"),
    *("serial", "terminal", "search", "search_fs_uuid", "search_label", "reboot", "halt"),
)
EFI_MODULES = (*_COMMON, "fat", "efifwsetup", "chain")
#: To start kernels itself, which a GRUB that only hands over to signed programs must not be able to.
LINUX_MODULES = ("linux",)
BIOS_MODULES = (*_COMMON, "biosdisk", "ext2", *LINUX_MODULES)


def make_grub(
    work: Work[Services],
    target: Tree,
    mkimage: PackagedFile,
    platform: GrubPlatform,
    prefix: str,
    modules: tuple[str, ...],
    output: Path,
    early: str = "",
) -> None:
    """Write the program to `output`; `early` are commands that it runs first (grub-mkimage, --config).
    Raises StepError `no-boot-files`, `grub-not-made`."""
    require(work, target, mkimage, platform.modules)
    sandbox = work.services.sandbox
    upper = work.scratch / f"grub-{platform.format}"
    sandbox.new_layer(upper)
    tree = Tree(target.lower, upper)
    if early:
        sandbox.edit(tree, [WriteFile(_EARLY, early.encode())])
    argv = (
        f"/{mkimage.path}",
        *("-O", platform.format, "-d", f"/{platform.modules.path}", "-p", prefix, "-o", _CORE),
        *(("-c", _EARLY) if early else ()),
        *(_revocations(work, target, tree, platform.sbat) if platform.sbat else ()),
        *modules,
    )
    done = sandbox.run(Job(tree, argv), work.say)
    if done.status or not sandbox.glob(tree, _CORE.lstrip("/")):
        raise StepError(
            "grub-not-made", f"{argv[0]} made no boot loader (exit status {done.status})", detail=done.tail()
        )
    sandbox.export(tree, {_CORE: output})


def _revocations(work: Work[Services], target: Tree, tree: Tree, program: PackagedFile) -> tuple[str, ...]:
    """The modules' own revocation table (shim, SBAT.md), and no waiting for a shim: where firmware trusts the key of
    whoever signs this program, there is none."""
    require(work, target, program)
    file = work.scratch / "sbat-source"
    work.services.sandbox.export(target, {f"/{program.path}": file})
    data = Window.of(file.read_bytes())
    try:
        table = content(parse_pe(data), data, ".sbat").rstrip(b"\0")
    except ValueError as error:
        raise StepError("no-boot-files", f"/{program.path} has no revocation table", cause=str(error)) from error
    work.services.sandbox.edit(tree, [WriteFile(_SBAT, table)])
    return (f"--sbat={_SBAT}", "--disable-shim-lock")

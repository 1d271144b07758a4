"""`convert`: an image that is there, in another format."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from os_image_composer.cli.options import OFFLINE, global_options, settings_of
from os_image_composer.errors import UsageError

if TYPE_CHECKING:
    from os_image_composer.provider.lock_choice import ChosenLock
    from os_image_composer.provider.provider import Provider


class Format(StrEnum):
    RAW = "raw"
    QCOW2 = "qcow2"
    VHD = "vhd"
    VHDX = "vhdx"
    VMDK = "vmdk"
    VDI = "vdi"
    BMAP = "bmap"


class Subformat(StrEnum):
    FIXED = "fixed"
    DYNAMIC = "dynamic"
    MONOLITHIC = "monolithic"
    STREAM_OPTIMIZED = "streamOptimized"


class Compression(StrEnum):
    ZSTD = "zstd"
    GZ = "gz"
    XZ = "xz"
    BZ2 = "bz2"


EPILOG = """\b
Examples:
  os-image-composer convert minimal-1.0.raw --to vmdk --subformat streamOptimized
  os-image-composer convert minimal-1.0.raw --to raw --compress zstd
  os-image-composer convert appliance.qcow2 --to raw -o appliance.raw
"""


def register(app: typer.Typer) -> None:
    app.command(epilog=EPILOG)(convert)


def convert(
    context: typer.Context,
    image: Annotated[Path, typer.Argument(help="A disk image: raw, in one of these formats, or compressed.")],
    to: Annotated[Format, typer.Option("--to", help="The format to write; bmap is the block map of a raw disk.")],
    subformat: Annotated[
        Subformat | None, typer.Option(help="Of a vhd (fixed without it) or a vmdk (monolithic without it).")
    ] = None,
    compress: Annotated[Compression | None, typer.Option(help="Compress what is written.")] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Where to write; never overwritten. Else beside IMAGE."),
    ] = None,
    lock: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Take the tools that this lock names, for the same bits.")
    ] = None,
    refresh: Annotated[bool, typer.Option("--refresh", help="Ask the mirror for newer tools.")] = False,
    offline: Annotated[bool, typer.Option("--offline", help=OFFLINE)] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the new file's path and nothing else.")] = False,
) -> None:
    """Write an image in another format. IMAGE itself is not changed.

    The tools are image tools as a build's, from the settings' archive or the mirror, and are kept for the next time.
    """
    from os_image_composer.config.artifacts import SUBFORMATS
    from os_image_composer.config.spec import Artifact

    subformats = SUBFORMATS.get(to.value, ())
    if subformat is not None and subformat.value not in subformats:
        raise UsageError("wrong-usage", f"{to.value} has no subformat {subformat.value}")
    if compress is not None and to is Format.BMAP:
        raise UsageError("wrong-usage", "a block map is not compressed: bmaptool reads it as it is")
    chosen = subformat.value if subformat else next(iter(subformats), None)
    wanted = Artifact(to.value, compress.value if compress else None, chosen)
    settings = settings_of(global_options(context), offline=offline)
    from os_image_composer.build.clock import SystemClock
    from os_image_composer.cli.listening import listening
    from os_image_composer.provider.convert import convert as convert_image
    from os_image_composer.provider.convert import default_output
    from os_image_composer.provider.image_tools import tools_target
    from os_image_composer.provider.registry import provider_for
    from os_image_composer.provider.services import Services

    clock = SystemClock()
    with listening(settings, clock, None, quiet) as listener:
        provider = provider_for(tools_target(settings), Services(settings, clock, listener))
        provider.init()
        target = (output or default_output(image, wanted)).absolute()
        done = convert_image(provider, image, target, wanted, lambda: _tools(provider, lock, refresh=refresh))
    if quiet:
        print(done.path)
        return
    from os_image_composer.cli.summary import shown, size_words

    print(f"image     {shown(done.path)}")
    print(f"size      {size_words(done.path, done.size)}")
    print(f"sha256    {done.sha256}")
    print(f"time      {done.seconds:.1f} s")


def _tools(provider: Provider, lock: Path | None, *, refresh: bool) -> ChosenLock:
    """The lock that names the format tools. Raises UsageError `no-format-tools` for one that does not."""
    if lock is None:
        return provider.locking.format_tools(refresh=refresh)
    from os_image_composer.ospackage.lock_file import read_lock
    from os_image_composer.ospackage.tools_archive import FORMAT_TOOLS
    from os_image_composer.provider.lock_choice import ChosenLock

    file = read_lock(lock)
    if FORMAT_TOOLS not in file.lock.sets:
        raise UsageError(
            "no-format-tools",
            f"{lock} names no tools that write other formats",
            cause="its template asks for a raw disk alone",
            hint="leave --lock out, or add an artifact to the template and lock it again",
        )
    return ChosenLock(file.lock, file)

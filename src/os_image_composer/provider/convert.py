"""An image that is there already, in another format: the actions of a build's pack steps, without a build.

Nothing but the file is needed, and the tools. Ids in what is written follow from the disk's own bytes, so it is the
same file as the build's own artifact, and the same whoever converts it, as long as the tools are the same.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import stat
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from os_image_composer.build.canonical import sha256_file
from os_image_composer.build.events import Output, PhaseFinished, PhaseStarted
from os_image_composer.build.execute import Execution
from os_image_composer.build.plan import make_plan
from os_image_composer.build.shelf import Shelf
from os_image_composer.build.step import Action, Kind, Result, Step, Work
from os_image_composer.chroot.sandbox import SANDBOX_VERSION
from os_image_composer.chroot.services import PackageFile
from os_image_composer.chroot.services import Services as StepServices
from os_image_composer.chroot.unpack import UnpackPackages
from os_image_composer.config.artifacts import suffix
from os_image_composer.config.spec import Artifact
from os_image_composer.errors import ImageError, StepError, UsageError
from os_image_composer.formats.virtual_disk import recognise
from os_image_composer.formats.virtual_disk_end import check_end
from os_image_composer.formats.window import FileSource, FormatError, Window
from os_image_composer.image.block_map import block_map
from os_image_composer.image.pack_compress import Compress
from os_image_composer.image.pack_disk import PackDisk, plain_name
from os_image_composer.image.unpack_disk import COMPRESSIONS, expand, unpack_disk
from os_image_composer.ospackage.tools_archive import FORMAT_TOOLS, check_free
from os_image_composer.provider.lock_choice import ChosenLock
from os_image_composer.provider.provider import Provider
from os_image_composer.report.inspect import disk_table

BLOCK_MAP = "bmap"
_SECTOR = 512
_MIB = 1 << 20
_SUFFIXES = ("raw", "img", "qcow2", "vhd", "vhdx", "vmdk", "vdi")
_PACKED = ("zst", "gz", "xz", "bz2")


@dataclass(frozen=True)
class Converted:
    """What was written; `size` in bytes, `seconds` of the clock."""

    path: Path
    size: int
    sha256: str
    seconds: float


def default_output(image: Path, wanted: Artifact) -> Path:
    """Beside the image, by its name."""
    stem = image.name
    for endings in (_PACKED, _SUFFIXES):
        name, _, end = stem.rpartition(".")
        stem = name if name and end in endings else stem
    ending = f"{stem}.raw.bmap" if wanted.type == BLOCK_MAP else f"{stem}.{suffix(wanted)}"
    return image.with_name(ending)


def convert(
    provider: Provider, image: Path, output: Path, wanted: Artifact, tools: Callable[[], ChosenLock]
) -> Converted:
    """Write `image` as `wanted` to `output`, which must not be there. `tools` gives the lock that names the format
    tools, where they are needed. Raises UsageError `file-exists`, `nothing-to-convert`, ImageError for what is no
    image or not a whole one, StepError where a program fails; then nothing is written."""
    check_free(output)
    services, clock = provider.services, provider.services.clock
    started = clock.elapsed()
    _check_regular(image)
    services.listener(PhaseStarted("convert"))
    with _folder_beside(output) as folder:
        run = _Run(provider, tools, folder)
        with run:
            made = _converted(run, image, wanted, output.name)
        digest, size = sha256_file(made), made.stat().st_size
        _put(made, output)
    seconds = clock.elapsed() - started
    services.listener(PhaseFinished("convert", seconds))
    return Converted(output, size, digest, seconds)


def _converted(run: _Run, image: Path, wanted: Artifact, name: str) -> Path:
    """The finished file, in the folder of the run."""
    raw = _raw(run, image)
    if raw == image and wanted == Artifact("raw"):
        raise UsageError(
            "nothing-to-convert", f"{image} is a raw disk already", hint="give another format, or --compress"
        )
    if wanted.type == BLOCK_MAP:
        target = run.folder / BLOCK_MAP
        target.write_text(block_map(raw))
        return target
    made = raw
    if wanted.type != "raw":
        if wanted.subformat == "fixed" and raw.stat().st_size % _MIB:
            raise ImageError(
                "unaligned-image",
                f"{image} has no whole number of MiB, as Azure asks of a fixed vhd",
                cause=f"it has {raw.stat().st_size} bytes",
                hint="--subformat dynamic takes it as it is",
            )
        plain = name.removesuffix(f".{suffix(wanted).rpartition('.')[2]}") if wanted.compression else name
        own_name = plain_name(plain) if wanted.type == "vmdk" else None
        made = run.act(PackDisk(wanted.type, wanted.subformat, own_name).run, "disk", raw, sha256_file(raw))
        run.drop(raw)
    if wanted.compression:
        packed = run.act(Compress(wanted.compression).run, "file", made)
        run.drop(made)
        made = packed
    return made


def _raw(run: _Run, image: Path) -> Path:
    """The raw disk: the image itself where it is one, else one in the folder of the run. Raises ImageError."""
    with image.open("rb") as file:
        head = file.read(16)
    compression = next((form for magic, form in COMPRESSIONS.items() if head.startswith(magic)), None)
    found = image
    if compression is not None:
        found = run.folder / "expanded"
        expand(image, compression, found)
    form = _format(found, image)
    if form is not None:
        raw = run.act(lambda work: unpack_disk(work, form, image), "file", found)
        run.drop(found)
        found = raw
    check_whole(found, image)
    return found


def _format(path: Path, image: Path) -> str | None:
    """The format of a hypervisor that a file has; None for another one. Raises ImageError for one that is damaged or
    not the whole disk."""
    try:
        with FileSource(path) as source:
            disk = recognise(Window.over(source))
            if disk is None:
                return None
            if disk.elsewhere:
                raise ImageError("image-in-parts", f"{image} is not the whole disk", cause=disk.elsewhere)
            check_end(Window.over(source), disk)
    except FormatError as error:
        raise ImageError(
            "damaged-image", f"{image} is damaged, or was cut off", cause=str(error), hint="copy it again"
        ) from error
    return disk.format


def check_whole(raw: Path, image: Path) -> None:
    """Raises ImageError for a raw disk that ends before its partition table says so (UEFI specification §5.3.2), and
    for what is no disk at all; errors name `image`."""
    with FileSource(raw) as source:
        disk = Window.over(source)
        size = source.size
        if size == 0 or size % _SECTOR:
            raise ImageError(
                "damaged-image",
                f"{image} is no disk, or was cut off",
                cause=f"{size} bytes are no whole number of sectors",
            )
        for sector in (_SECTOR, 4096):
            header = disk.head(92, sector)
            if header[:8] == b"EFI PART" and (struct.unpack_from("<Q", header, 32)[0] + 1) * sector > size:
                raise ImageError(
                    "damaged-image",
                    f"{image} was cut off",
                    cause=f"it has {size} bytes, and its partition table ends behind these",
                    hint="copy it again",
                )
        disk_table(image, disk)


class _Run:
    """The tools, once something needs them, and the folder in which files are made."""

    def __init__(self, provider: Provider, tools: Callable[[], ChosenLock], folder: Path) -> None:
        self.provider = provider
        self.tools = tools
        self.folder = folder
        self._count = 0
        self._held = contextlib.ExitStack()
        self._ready: tuple[StepServices, Result] | None = None

    def __enter__(self) -> None:
        self._held.__enter__()

    def __exit__(self, *error: object) -> None:
        self._held.close()

    def act(self, run: Callable[[Work[StepServices]], None], role: str, source: Path, digest: str = "") -> Path:
        """The file that `run` makes of `source`, its input of that role."""
        services, tools = self._ready or self._unpacked()
        self._ready = services, tools
        self._count += 1
        output, scratch = self.folder / f"made-{self._count}", self.folder / f"scratch-{self._count}"
        scratch.mkdir()
        given = Result("", Kind.ARTIFACT, digest, source)
        run(Work(services, ((role, given), ("tools", tools)), output, scratch, self._say))
        return output

    def drop(self, path: Path) -> None:
        """What is made of is not needed any more; the user's own file is."""
        if path.parent == self.folder:
            path.unlink()

    def _say(self, line: str) -> None:
        self.provider.services.listener(Output("convert", line))

    def _unpacked(self) -> tuple[StepServices, Result]:
        """The environment of the format tools, from the store where it is there."""
        provider, chosen = self.provider, self.tools()
        lock, name = chosen.lock, secrets.token_hex(8)
        packages = tuple(PackageFile.of(p) for p in lock.sets[FORMAT_TOOLS].packages())
        action: Action = UnpackPackages(packages)
        plan = make_plan(FORMAT_TOOLS, [Step(FORMAT_TOOLS, action)], f"sandbox {SANDBOX_VERSION}")
        sandbox, store = provider.workplace(lock, name)
        self._held.enter_context(store.scratch.folder(name))
        transport = self._held.enter_context(provider.locking.transport())
        files = provider.locking.tools_packages(chosen, transport)
        services = StepServices(sandbox, files, {}, {}, provider.services.clock)
        execution = Execution(
            plan,
            store,
            services,
            Shelf(self.folder / "published.json", self.folder, self.folder, {}),
            listener=provider.services.listener,
            clock=provider.services.clock,
            workers=provider.settings.workers,
            stop=sandbox.stop,
        )
        return services, execution.run().results[FORMAT_TOOLS]


def _check_regular(image: Path) -> None:
    try:
        mode = image.stat().st_mode
        if not stat.S_ISREG(mode):
            raise ImageError("unreadable-image", f"{image} is no file", hint="copy a device into a file first")
        with image.open("rb"):
            pass
    except OSError as error:
        raise ImageError("unreadable-image", f"{image} cannot be read", cause=error.strerror) from error


@contextlib.contextmanager
def _folder_beside(output: Path) -> Iterator[Path]:
    """A folder for unfinished files on the output's filesystem, of which nothing stays."""
    folder = output.with_name(f".{output.name}.{secrets.token_hex(4)}")
    try:
        folder.mkdir(mode=0o700)
    except OSError as error:
        raise UsageError("output-not-writable", f"cannot write to {output.parent}", cause=error.strerror) from error
    try:
        yield folder
    except OSError as error:
        raise StepError("step-failed", f"{output} could not be written", cause=error.strerror or str(error)) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _put(made: Path, output: Path) -> None:
    """Under its name, unless somebody made another file of that name meanwhile: a link, other than a rename, replaces
    nothing. Some filesystems have no links."""
    try:
        os.link(made, output)
    except FileExistsError:
        check_free(output)
        raise
    except OSError:
        check_free(output)
        made.rename(output)

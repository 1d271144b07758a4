"""Look into an image file: no root, no mount, no program, no network. The image may be anybody's, and damaged."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from os_image_composer.config.partition_types import PARTITION_TYPES
from os_image_composer.errors import ImageError
from os_image_composer.formats.filesystem import FileSystem, NodeKind, walk
from os_image_composer.formats.iso9660 import Medium, read_medium
from os_image_composer.formats.partition_table import Partition, PartitionTable, read_partition_table
from os_image_composer.formats.virtual_disk import recognise
from os_image_composer.formats.volumes import identify, open_filesystem
from os_image_composer.formats.window import ALLOWANCE, FileSource, FormatError, Window
from os_image_composer.report.efi import digest, efi_program
from os_image_composer.report.image_file import EfiProgram, EspFile, ImageInfo, Part, Root, SealedRoot
from os_image_composer.report.root_filesystem import is_root, read_root, sbom_content
from os_image_composer.report.sealed_root import sealed_roots

_TYPE_NAMES = {guid: name for name, guid in PARTITION_TYPES.items()} | {
    "0xef": "esp",
    "0x83": "linux",
    "0x82": "linux-swap",
    "0x8e": "linux-lvm",
    "0xfd": "linux-raid",
    "0x05": "extended",
    "0x0f": "extended",
    "0x0b": "fat32",
    "0x0c": "fat32",
    "0xee": "gpt-protective",
}
_ESP_LIMIT = 4096  # files of an EFI system partition that are listed
_HASHED = 1 << 30  # bytes of the largest file that is hashed
# What is no disk but holds one: by its first bytes, with the name that people know it by.
_COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"BZh": "bzip2",
}


def inspect_image(path: Path) -> ImageInfo:
    """Everything that can be read of the image; damage is told in `findings`. Raises ImageError where the file cannot
    be read, or is no disk image."""
    with open_image(path) as source:
        return _Inspection(path, source).look()


def extract_sboms(path: Path, into: Path) -> tuple[Path, ...]:
    """Write the bills of materials that are in the image into the folder `into`, under their own names. Raises
    ImageError where there is none."""
    with open_image(path) as source:
        inspection = _Inspection(path, source)
        info = inspection.look()
        if info.root is None or not info.root.sboms or inspection.root is None:
            raise ImageError("no-sbom", f"{path} has no bill of materials", cause="/usr/share/sbom is empty or missing")
        written = []
        try:
            into.mkdir(parents=True, exist_ok=True)
            for sbom in info.root.sboms:
                # A name in a directory has no slash (the readers see to that), and is never `.` or `..`.
                target = into / sbom.path.rsplit("/", 1)[1]
                target.write_bytes(sbom_content(inspection.root, sbom.path))
                written.append(target)
        except FormatError as error:
            raise ImageError("damaged-image", f"{path} is damaged", cause=str(error)) from error
        return tuple(written)


def open_image(path: Path) -> FileSource:
    """The file. Raises ImageError where it cannot be read or is empty."""
    try:
        if path.is_dir():
            raise IsADirectoryError(21, "it is a directory")
        source = FileSource(path)
    except OSError as error:
        raise ImageError("unreadable-image", f"{path} cannot be read", cause=error.strerror) from error
    if source.size == 0:
        raise ImageError("no-image", f"{path} is empty")
    return source


def _wrapped(disk: Window) -> str | None:
    """What holds a disk and is none. Raises FormatError."""
    head = disk.head(16)
    compressed = next((name for magic, name in _COMPRESSED.items() if head.startswith(magic)), None)
    found = None if compressed else recognise(disk)
    return found.format if found else compressed


def disk_table(path: Path, disk: Window) -> PartitionTable | None:
    """The partition table; None where the file holds a filesystem without one. Raises ImageError where it holds
    neither, for a damaged table, and for a disk in another format or a compressed one."""
    try:
        wrapped = _wrapped(disk)
        if wrapped is not None:
            raise ImageError(
                "wrapped-image",
                f"{path} is no raw image but {wrapped}",
                hint=f"make a raw one of it: os-image-composer convert {path} --to raw",
            )
        table = read_partition_table(disk)
    except FormatError as error:
        raise ImageError("damaged-image", f"{path} is damaged", cause=str(error)) from error
    if table is None and identify(disk) is None:
        raise ImageError(
            "no-image",
            f"{path} is no disk image",
            cause="it has no partition table, and no filesystem that is known",
        )
    return table


def partition_type(partition: Partition) -> str:
    """The name of a known type, else its GUID or number."""
    return _TYPE_NAMES.get(partition.type, partition.type)


class _Inspection:
    def __init__(self, path: Path, source: FileSource) -> None:
        self.path = path
        self._source = source
        self.disk = Window.over(source)
        self.findings: list[str] = []
        self.root: FileSystem | None = None

    def look(self) -> ImageInfo:
        table = disk_table(self.path, self.disk)
        self.findings += table.faults if table else ()
        volumes = list(self._volumes(table))
        parts = tuple(part for part, _ in volumes)
        esp = next((fs for part, fs in volumes if part.type == "esp" and fs is not None), None)
        if esp is None:
            esp = next((fs for part, fs in volumes if fs is not None and part.type == "fat32"), None)
        esp_files, programs = self._esp(esp) if esp is not None else ((), ())
        root = self._root(volumes)
        return ImageInfo(
            file=self.path.name,
            size=self.disk.size,
            stored=self.path.stat().st_blocks * 512,
            table=table.kind if table else None,
            disk_uuid=table.uuid if table else None,
            sector_size=table.sector_size if table else None,
            parts=parts,
            esp_files=esp_files,
            programs=programs,
            sealed=self._sealed(programs, table),
            root=root,
            medium=self._medium(),
            findings=tuple(dict.fromkeys(self.findings)),
        )

    def _medium(self) -> Medium | None:
        try:
            return read_medium(self.disk)
        except FormatError as error:
            self.findings.append(f"as a CD: {error}")
            return None

    def _sealed(self, programs: tuple[EfiProgram, ...], table: PartitionTable | None) -> tuple[SealedRoot, ...]:
        self._source.allow(ALLOWANCE + 2 * self.disk.size)  # a sealed root is read whole
        try:
            return tuple(sealed_roots(programs, table, self.disk))
        finally:
            self._source.allow(ALLOWANCE)

    def _volumes(self, table: PartitionTable | None) -> Iterator[tuple[Part, FileSystem | None]]:
        if table is None:
            yield self._volume(Partition(0, 0, self.disk.size, "whole disk", None, "", 0))
            return
        for partition in table.partitions:
            yield self._volume(partition)

    def _volume(self, partition: Partition) -> tuple[Part, FileSystem | None]:
        type_name = partition_type(partition)
        volume, filesystem = None, None
        try:
            # What lies beyond the end is a fault of the table, which says so; the rest may still be read.
            window = self.disk.part(partition.start, min(partition.size, max(self.disk.size - partition.start, 0)))
            if type_name not in ("extended", "gpt-protective"):
                volume = identify(window)
                filesystem = open_filesystem(window)
                volume = filesystem.volume if filesystem else volume
        except FormatError as error:
            self.findings.append(f"partition {partition.number}: {error}")
        part = Part(
            number=partition.number,
            name=partition.name,
            type=type_name,
            type_id=partition.type,
            uuid=partition.uuid,
            start=partition.start,
            size=partition.size,
            attributes=partition.attributes,
            volume=volume,
        )
        return part, filesystem

    def _esp(self, filesystem: FileSystem) -> tuple[tuple[EspFile, ...], tuple[EfiProgram, ...]]:
        files: list[EspFile] = []
        programs: list[EfiProgram] = []
        try:
            for path, node in walk(filesystem):
                if node.kind is not NodeKind.FILE:
                    continue
                if len(files) >= _ESP_LIMIT:
                    self.findings.append(f"the EFI system partition has more than {_ESP_LIMIT} files")
                    break
                if node.size > _HASHED:
                    self.findings.append(f"/{path} of the EFI system partition has {node.size} bytes and is not read")
                    continue
                self._esp_file(f"/{path}", filesystem.content(node), files, programs)
        except FormatError as error:
            self.findings.append(f"the EFI system partition is damaged: {error}")
        return tuple(files), tuple(programs)

    def _esp_file(self, path: str, content: Window, files: list[EspFile], programs: list[EfiProgram]) -> None:
        if content.head(2) == b"MZ":
            try:
                program = efi_program(path, content)
            except FormatError as error:
                self.findings.append(f"{path} is no EFI program: {error}")
            else:
                programs.append(program)
                files.append(EspFile(path, program.size, program.sha256))
                return
        files.append(EspFile(path, content.size, digest(content)))

    def _root(self, volumes: list[tuple[Part, FileSystem | None]]) -> Root | None:
        """The largest filesystem that looks like a root."""
        candidates = sorted(volumes, key=lambda pair: -pair[0].size)
        for part, filesystem in candidates:
            if filesystem is not None and part.type != "esp" and is_root(filesystem):
                self.root = filesystem
                return read_root(filesystem, part.number, self.findings)
        unread = [
            p for p, f in volumes if f is None and p.volume and p.volume.kind in ("squashfs", "erofs", "xfs", "btrfs")
        ]
        for part in unread:
            assert part.volume is not None
            self.findings.append(f"partition {part.number}: files of {part.volume.kind} cannot be read yet")
        return None

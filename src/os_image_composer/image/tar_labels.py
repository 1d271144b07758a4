"""SELinux labels in a tar: GNU tar takes them from a tree, and no tree of a build ever has them.

Source: POSIX.1-2001, pax Interchange Format, and ustar's header in it. A label stands under two names: that of
libarchive, containers and mkfs.erofs, with the value as the kernel has it, and that of GNU tar (`--selinux`).
"""

from __future__ import annotations

import shutil
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from os_image_composer.image.selinux import ATTRIBUTE, Labels

_BLOCK = 512
_EXTENDED = b"x"
_NAMES = (f"SCHILY.xattr.{ATTRIBUTE}", f"RHT.{ATTRIBUTE}")
_COPY = 1 << 20


def label_tar(path: Path, labels: Labels) -> None:
    """Give each entry of a tar that GNU tar wrote (`--format=posix`) its label."""
    values = {xattr.path: xattr.value for xattr in labels.tree}
    temporary = path.with_name(f".{path.name}.labelled")
    try:
        with path.open("rb") as reader, temporary.open("xb") as writer:
            temporary.chmod(0o600)
            _copy(reader, writer, values)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _copy(reader: BinaryIO, writer: BinaryIO, values: Mapping[str, bytes]) -> None:
    records = b""
    while (header := reader.read(_BLOCK)).strip(b"\0"):
        size = _number(header[124:136])
        if header[156:157] == _EXTENDED:
            records = reader.read(_padded(size))[:size]
            continue
        said = dict(_records(records))
        name = said.get(b"path", _name(header)).decode("utf-8", "surrogateescape")
        value = values.get(name.strip("/").removeprefix("./").removeprefix("."))
        if value is not None:
            for key, content in zip(_NAMES, (value, value.rstrip(b"\0")), strict=True):
                records += _record(key.encode(), content)
        if records:
            writer.write(_extended_header(len(records)) + records.ljust(_padded(len(records)), b"\0"))
        writer.write(header)
        left = _padded(int(said.get(b"size", size)))
        while left:
            block = reader.read(min(_COPY, left))
            writer.write(block)
            left -= len(block)
        records = b""
    writer.write(header)
    shutil.copyfileobj(reader, writer)


def _number(field: bytes) -> int:
    return int(field.rstrip(b"\0 ") or b"0", 8)


def _name(header: bytes) -> bytes:
    name, prefix = header[:100].rstrip(b"\0"), header[345:500].rstrip(b"\0")
    return prefix + b"/" + name if prefix else name


def _records(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """`LENGTH KEY=VALUE\\n`, whose length counts all of it."""
    at = 0
    while at < len(data):
        blank = data.index(b" ", at)
        end = at + int(data[at:blank])
        key, _, value = data[blank + 1 : end - 1].partition(b"=")
        yield key, value
        at = end


def _record(key: bytes, value: bytes) -> bytes:
    rest = b" " + key + b"=" + value + b"\n"
    size = len(rest) + 1
    while len(b"%d" % size) + len(rest) != size:
        size = len(b"%d" % size) + len(rest)
    return b"%d" % size + rest


def _extended_header(size: int) -> bytes:
    entry = tarfile.TarInfo("PaxHeaders")
    entry.type, entry.size = tarfile.XHDTYPE, size
    return entry.tobuf(tarfile.USTAR_FORMAT)


def _padded(size: int) -> int:
    return size + -size % _BLOCK

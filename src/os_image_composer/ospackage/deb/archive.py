"""What is in a .deb: ar(5) with debian-binary, control.tar and data.tar (deb(5)), read as streams.

Members are xz, gzip, zstd or plain. Nothing is unpacked here; callers get the uncompressed tar.
"""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from os_image_composer.errors import MetadataError, TrustError
from os_image_composer.ospackage.deb.control import parse_paragraph
from os_image_composer.ospackage.expanding import BLOCK, Bounded, Part, UnknownFormError, expanding
from os_image_composer.ospackage.lock import LockedPackage

_MAGIC = b"!<arch>\n"
_HEADER = 60
_MAX_MEMBERS = 16
MAX_DATA = 16 << 30  # bytes of an uncompressed data.tar
MAX_CONTROL = 64 << 20


@dataclass(frozen=True)
class _Member:
    name: str
    offset: int
    size: int


def open_data_tar(path: Path, sha256: str | None = None) -> BinaryIO:
    """The package's files as an uncompressed tar, to be read once from start to end and closed. With `sha256` the
    whole .deb is hashed first, through the same descriptor, and TrustError `wrong-bytes` raised where it differs.
    Raises MetadataError `bad-package`, also while it is read; OSError where the file cannot be opened."""
    return _open_member(path, "data.tar", MAX_DATA, sha256)


def control_file(path: Path, name: str, sha256: str | None = None) -> bytes | None:
    """A file of the control member, such as `control` or `conffiles`; None where there is none. Raises as
    `open_data_tar`."""
    with _open_member(path, "control.tar", MAX_CONTROL, sha256) as stream:
        try:
            with tarfile.open(fileobj=stream, mode="r|") as tar:
                for entry in tar:
                    if entry.name.removeprefix("./") == name and entry.isfile():
                        file = tar.extractfile(entry)
                        return file.read() if file else None
        except (tarfile.TarError, EOFError, ValueError, LookupError, OverflowError) as error:
            raise _bad(path, str(error)) from error
    return None


def check_identity(path: Path, wanted: LockedPackage) -> None:
    """Raises TrustError `wrong-package` where the control file speaks of another package than the index did, whose
    scripts would run in its place; MetadataError `bad-package` where there is none that can be read."""
    what = f"{wanted.file_name} is not a usable package"
    try:
        content = control_file(path, "control")
        if content is None:
            raise MetadataError("bad-package", what, cause="it has no control file")
        fields = parse_paragraph(content.decode("utf-8").strip())
    except (MetadataError, UnicodeDecodeError) as error:
        said = error.cause or error.message if isinstance(error, MetadataError) else "its control file is not UTF-8"
        raise MetadataError("bad-package", what, cause=said) from error
    is_there = tuple(fields.get(field, "") for field in ("package", "version", "architecture"))
    asked = (wanted.name, wanted.version, wanted.arch)
    if is_there != asked:
        raise TrustError(
            "wrong-package",
            f"{wanted.file_name} is not the package that the repository names",
            cause=f"it says {' '.join(is_there).strip() or 'nothing'}, not {' '.join(asked)}",
            hint="another mirror may be in order",
        )


def _open_member(path: Path, name: str, limit: int, sha256: str | None) -> BinaryIO:
    file = path.open("rb")
    try:
        if sha256 is not None:
            _check_digest(file, path, sha256)
        member = _find(file, path, name)
        part = io.BufferedReader(Part(file, member.offset, member.size), BLOCK)
        plain = Bounded(_expanding(part, member, path), file, limit, lambda cause: _bad(path, cause))
        return cast(BinaryIO, io.BufferedReader(plain, BLOCK))
    except BaseException:
        file.close()
        raise


def _check_digest(file: io.BufferedReader, path: Path, sha256: str) -> None:
    actual = hashlib.file_digest(file, "sha256").hexdigest()
    if actual != sha256:
        raise TrustError("wrong-bytes", f"{path} is not what was locked", cause=f"SHA-256 {actual} instead of {sha256}")


def _find(file: io.BufferedReader, path: Path, name: str) -> _Member:
    end = os.fstat(file.fileno()).st_size
    file.seek(0)
    if file.read(len(_MAGIC)) != _MAGIC:
        raise _bad(path, "it is no ar archive")
    offset = len(_MAGIC)
    for number in range(_MAX_MEMBERS):
        header = file.read(_HEADER)
        if len(header) < _HEADER or header[58:] != b"`\n" or not header[48:58].strip().isdigit():
            break
        member = _Member(
            header[:16].decode("ascii", "replace").strip().rstrip("/"), offset + _HEADER, int(header[48:58])
        )
        offset = member.offset + member.size + member.size % 2
        if member.offset + member.size > end:
            raise _bad(path, f"{member.name} is cut off")
        if number == 0 and member.name != "debian-binary":
            raise _bad(path, "its first member is not debian-binary")
        if number == 0 and not file.read(member.size).startswith(b"2."):
            raise _bad(path, "it is not of format 2")
        if member.name.partition(".tar")[0] + ".tar" == name:
            return member
        file.seek(offset)
    raise _bad(path, f"there is no {name} in it")


def _expanding(part: io.BufferedIOBase, member: _Member, path: Path) -> io.BufferedIOBase:
    form = member.name.partition(".tar")[2]
    try:
        return expanding(part, form)
    except UnknownFormError:
        raise _bad(path, f"{member.name} is compressed in a way that is not known") from None


def _bad(path: Path, cause: str) -> MetadataError:
    return MetadataError("bad-package", f"{path.name} is not a usable package", cause=cause)

"""The index of an archive of image tools: which packages it holds, and the signed metadata that named them.

Nothing in it comes from who wrote it: no mirror, no time, no path, and of the repositories only those that a package is
from. So it is a function of the packages and of the metadata in which they were found, and can be written in one way
only; what reads otherwise is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError
from pydantic.alias_generators import to_camel
from pydantic.fields import Field

from os_image_composer.errors import MetadataError
from os_image_composer.ospackage.lock import LockedPackage, LockedRepository

__all__ = ["MAX_INDEX", "MAX_PACKAGE", "TOOLS_ARCHIVE_VERSION", "ToolsIndex", "dump_index", "parse_index"]

TOOLS_ARCHIVE_VERSION = 1
MAX_INDEX = 4 << 20  # bytes; 100 packages take 50 KiB
MAX_PACKAGE = 1 << 30  # bytes of one package
_LAST_TIME = 1 << 40  # seconds since the epoch
# What a tar header has room for without further records, less the folder's name.
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+:~%^_-]{0,90}")


@dataclass(frozen=True)
class ToolsIndex:
    """`os`, `dist` and `arch` are those of the distribution that the packages are from. `repositories` are suites as
    they were read, without URL and end of validity; they, their signers and `packages` are sorted."""

    os: str
    dist: str
    arch: str
    repositories: tuple[LockedRepository, ...]
    packages: tuple[LockedPackage, ...]

    @classmethod
    def of(
        cls,
        os: str,
        dist: str,
        arch: str,
        repositories: Sequence[LockedRepository],
        packages: Sequence[LockedPackage],
    ) -> ToolsIndex:
        """The index of `packages`, with those of `repositories` that one of them is from."""
        used = {package.repository for package in packages}
        return cls(
            os,
            dist,
            arch,
            tuple(
                LockedRepository(r.name, "", r.suite, r.date, None, r.metadata_sha256, tuple(sorted(r.signers)))
                for r in sorted(repositories, key=lambda r: r.name)
                if r.name in used
            ),
            tuple(sorted(packages)),
        )


def dump_index(index: ToolsIndex) -> bytes:
    """The one text of this index."""
    repositories = [_written(r, _Repository) for r in index.repositories]
    packages = [_written(p, _Package) for p in index.packages]
    value = {
        "toolsArchiveVersion": TOOLS_ARCHIVE_VERSION,
        "os": index.os,
        "dist": index.dist,
        "arch": index.arch,
        "repositories": repositories,
        "packages": packages,
    }
    return (json.dumps(value, indent=1, sort_keys=True) + "\n").encode()


def parse_index(data: bytes, what: str) -> ToolsIndex:
    """The index that `data` is the text of; `what` names the archive. Raises MetadataError `tools-archive-version`,
    `tools-archive-path`, `tools-archive-too-large`, `bad-tools-archive`."""
    _check_version(data, what)
    try:
        read = _Index.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise _bad(what, f"{place}: {first['msg']}" if place else first["msg"]) from None
    packages = tuple(LockedPackage(**{**dict(package), "depends": tuple(package.depends)}) for package in read.packages)
    repositories = tuple(
        LockedRepository(r.name, "", r.suite, r.date, None, r.metadata_sha256, tuple(r.signers))
        for r in read.repositories
    )
    for package in packages:
        _check_package(package, what)
    index = ToolsIndex.of(read.os, read.dist, read.arch, repositories, packages)
    if dump_index(index) != data:
        raise _bad(what, "the index is not written as this program writes it")
    _check_names(index, what)
    return index


def _check_version(data: bytes, what: str) -> None:
    """Before all else: another version may have any keys."""
    try:
        value = json.loads(data)
        version = value.get("toolsArchiveVersion") if isinstance(value, dict) else None
    except (ValueError, RecursionError) as error:
        raise _bad(what, f"its index is not JSON: {str(error)[:200]}") from None
    if version != TOOLS_ARCHIVE_VERSION or not isinstance(version, int):
        raise MetadataError(
            "tools-archive-version",
            f"{what} is of another version",
            cause=f"toolsArchiveVersion {version!r:.20} instead of {TOOLS_ARCHIVE_VERSION}",
            hint="write it again with this version of the program: `env export`",
        )


def _check_package(package: LockedPackage, what: str) -> None:
    if ".." in package.path.split("/") or package.path.startswith("/") or not _FILE_NAME.fullmatch(package.file_name):
        raise MetadataError(
            "tools-archive-path",
            f"{what} cannot be used",
            cause=f"{package.path!r:.120} of {package.name} is no path below a repository to a file with a plain name",
            hint="nothing of it was used: have it written again by `env export`",
        )
    if package.size > MAX_PACKAGE:
        raise MetadataError(
            "tools-archive-too-large",
            f"{what} cannot be used",
            cause=f"{package.name} would have {package.size} bytes, more than {MAX_PACKAGE}",
            hint="nothing of it was used: have it written again by `env export`",
        )


def _check_names(index: ToolsIndex, what: str) -> None:
    names = {r.name for r in index.repositories}
    for package in index.packages:
        if package.repository not in names:
            raise _bad(what, f"{package.name} is from a repository that the index does not have")
    for kind, several in (
        ("repository", [r.name for r in index.repositories]),
        ("package", [f"{p.name}:{p.arch}" for p in index.packages]),
        ("file", [p.file_name for p in index.packages]),
    ):
        twice = next((name for name in several if several.count(name) > 1), None)
        if twice:
            raise _bad(what, f"the {kind} {twice} is there twice")


def _bad(what: str, cause: str) -> MetadataError:
    return MetadataError(
        "bad-tools-archive",
        f"{what} is not an archive of image tools",
        cause=cause,
        hint="`env export` writes one",
    )


def _written(value: LockedPackage | LockedRepository, section: type[BaseModel]) -> dict[str, Any]:
    """What the index says of a value of a lock: not all that a lock does."""
    return {to_camel(name): getattr(value, name) for name in section.model_fields}


# -- what may stand in the text: it becomes file names and arguments ---------------------------------------------

_PART = r"[A-Za-z0-9_+-][A-Za-z0-9._+-]*"
_Word = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,99}\z")]
_Arch = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}\z")]
_RepositoryName = Annotated[str, StringConstraints(pattern=rf"^{_PART}(/{_PART})*\z", max_length=200)]
_Version = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9.+:~^_-]{0,199}\z")]
_Path = Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]{1,1000}\z")]
_Suite = Annotated[str, StringConstraints(pattern=r"^([A-Za-z0-9_+-][A-Za-z0-9._+/-]{0,99})?\z")]
_Line = Annotated[str, StringConstraints(pattern=r"^[\x20-\x7e]{0,1000}\z")]
_Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}\z")]
_Fingerprint = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16,64}\z")]
_Size = Annotated[int, Field(ge=0, le=1 << 60)]
_InstalledSize = Annotated[int, Field(ge=0, le=1 << 40)]
_Time = Annotated[int, Field(ge=0, le=_LAST_TIME)]


class _Section(BaseModel):
    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, alias_generator=to_camel, hide_input_in_errors=True
    )


class _Package(_Section):
    name: _Word
    version: _Version
    arch: _Arch
    repository: _RepositoryName
    path: _Path
    size: _Size
    sha256: _Digest
    installed_size: _InstalledSize
    essential: bool
    source: _Line
    depends: list[_Word]


class _Repository(_Section):
    name: _RepositoryName
    suite: _Suite
    date: _Time
    metadata_sha256: _Digest
    signers: list[_Fingerprint]


class _Index(_Section):
    tools_archive_version: int
    os: _Word
    dist: _Word
    arch: _Arch
    repositories: list[_Repository]
    packages: list[_Package]

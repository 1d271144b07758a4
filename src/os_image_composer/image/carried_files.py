"""Files of the build host that a medium carries beside its system, such as images to be written from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from os_image_composer.build.canonical import sha256_file
from os_image_composer.build.shelf import copy_sparse
from os_image_composer.image.host_file import changed


@dataclass(frozen=True)
class CarriedFile:
    """A file by its content. `name` is its own on the medium."""

    name: str
    sha256: str


def copy_carried(files: Iterable[CarriedFile], host_files: Mapping[str, Path], folder: Path) -> dict[str, Path]:
    """By name, copies in `folder`, which every id of the sandbox can read and nobody changes while a medium is written.
    `host_files` are by SHA-256. Raises StepError `additional-file-changed` for one that is not what the plan was made
    from."""
    folder.mkdir()
    folder.chmod(0o755)  # whatever the umask
    copies: dict[str, Path] = {}
    for file in files:
        source, copy = host_files[file.sha256], folder / file.name
        copy_sparse(source, copy)
        if sha256_file(copy) != file.sha256:
            raise changed(source)
        copy.chmod(0o644)
        copies[file.name] = copy
    return copies

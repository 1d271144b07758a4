"""The files of the build host that a template names, by their content."""

from __future__ import annotations

from pathlib import Path

from os_image_composer.build.canonical import sha256_file
from os_image_composer.config.spec import ImageSpec
from os_image_composer.errors import TemplateError
from os_image_composer.image.carried_files import CarriedFile
from os_image_composer.image.placed_files import PlacedFile


def host_file_digests(spec: ImageSpec) -> tuple[tuple[PlacedFile, ...], tuple[CarriedFile, ...], dict[str, Path]]:
    """What is placed into the image, what its medium carries beside it, and where each SHA-256 lies. Raises
    TemplateError `unreadable-file`."""
    paths: dict[str, Path] = {}

    def digest_of(local: Path, key: str) -> str:
        try:
            digest = sha256_file(local)
        except OSError as error:
            raise TemplateError(
                "unreadable-file", f"{local} cannot be read", cause=error.strerror, origin=spec.origin(key)
            ) from error
        paths[digest] = local
        return digest

    placed = []
    for number, file in enumerate(spec.additional_files):
        digest = digest_of(file.local, f"systemConfig.additionalFiles[{number}].local")
        usual = 0o755 if file.local.stat().st_mode & 0o100 else 0o644
        mode = usual if file.mode is None else file.mode
        placed.append(PlacedFile(file.final, digest, mode, file.owner, file.group, file.folder))
    carried = [
        CarriedFile(file.name, digest_of(file.local, f"systemConfig.live.carry[{number}].local"))
        for number, file in enumerate(spec.live.carried)
    ]
    return tuple(placed), tuple(sorted(carried, key=lambda file: file.name)), paths

"""What a finished build tells: where the image is, what is in it, what took how long, how to boot it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from os_image_composer.signing.beside import KEYS

if TYPE_CHECKING:
    from os_image_composer.config.spec import Artifact
    from os_image_composer.provider.interface import Published


def result_fields(published: Published) -> dict[str, object]:
    """The `result` event (see progress); `image`, `size` and `sha256` are those of the first artifact."""
    first = published.artifacts[0]
    return {
        "image": str(first.path),
        "manifest": str(published.manifest),
        "size": first.size,
        "sha256": first.sha256,
        "artifacts": [
            {"file": str(file.path), "size": file.size, "sha256": file.sha256} for file in published.artifacts
        ],
        "packages": package_count(published),
        "seconds": round(published.seconds, 3),
    }


def package_count(published: Published) -> int:
    return sum(1 for _ in published.preparation.lock.sets["image"].packages())


def summary_lines(published: Published, program: str) -> Iterator[str]:
    """`program` is how this program was called, for the command that boots the image. Steps that nothing needed,
    because what follows them was there, are left out."""
    steps = [step for step in published.outcome.steps if step.outcome != "skipped"]
    width = max((len(s.name) for s in steps), default=0)
    yield ""
    yield f"{'step':<{width}}  outcome  seconds"
    for step in steps:
        seconds = f"{step.seconds:7.1f}" if step.outcome == "ran" else ""
        yield f"{step.name:<{width}}  {step.outcome:<7}  {seconds}".rstrip()
    yield ""
    for file in published.artifacts:
        yield f"image     {shown(file.path)}"
        yield f"size      {size_words(file.path, file.size)}"
        yield f"sha256    {file.sha256}"
    if published.block_map is not None:
        yield f"bmap      {shown(published.block_map)}"
    yield f"packages  {package_count(published)}"
    yield f"manifest  {shown(published.manifest)}"
    signed = published.preparation.boot_certificates is not None
    if signed:
        stem = published.manifest.name.removesuffix(".manifest.json")
        yield f"keys      {shown(published.manifest.with_name(stem + KEYS))}"
    yield f"time      {published.seconds:.1f} s"
    bootable = next((file for file in published.artifacts if is_disk(file.artifact)), None)
    if bootable is not None:
        image = f"{'--secure-boot ' if signed else ''}{shlex.quote(str(shown(bootable.path)))}"
        yield f"boot it   {shlex.quote(program)} boot {image}"
        yield f"check it  {shlex.quote(program)} boot --check {image}"


def is_disk(artifact: Artifact) -> bool:
    """Whether a virtual machine can be started from the file as it is."""
    return artifact.type != "tar" and artifact.compression is None


def size_words(image: Path, size: int) -> str:
    """The apparent size and what it takes on disk: images are sparse."""
    try:
        used = f", {image.stat().st_blocks * 512 / 2**20:.0f} MiB on disk"
    except OSError:
        used = ""
    return f"{size / 2**20:.0f} MiB{used}"


def shown(path: Path) -> Path:
    """Relative to the current folder where it lies below it."""
    try:
        return path.relative_to(Path.cwd())
    except ValueError:
        return path

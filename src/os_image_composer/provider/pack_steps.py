"""The steps behind the disk: what a template's artifacts are made of, one step for each that is not there yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from os_image_composer.build.step import Action, Input, Step
from os_image_composer.chroot.services import PackageFile
from os_image_composer.chroot.unpack import UnpackPackages
from os_image_composer.config.artifacts import suffix
from os_image_composer.config.spec import Artifact, ImageSpec
from os_image_composer.image.block_map import WriteBlockMap
from os_image_composer.image.pack_compress import Compress
from os_image_composer.image.pack_disk import PackDisk
from os_image_composer.image.pack_tar import PackTar
from os_image_composer.ospackage.lock import Lock
from os_image_composer.ospackage.tools_archive import FORMAT_TOOLS

DISK = "disk"
BLOCK_MAP = "block-map"
RAW = Artifact("raw")
INITRD_IMAGE, KERNEL, QEMU_EXAMPLE, IPXE_EXAMPLE = "initrd-image", "kernel", "qemu-example", "ipxe-example"
ISO_IMAGE = "iso"
# What is published of an image that is no disk: each file's kind, which its name ends with, and its step.
_OF_KIND = {
    "img": {"img": INITRD_IMAGE, "vmlinuz": KERNEL, "qemu.sh": QEMU_EXAMPLE, "ipxe": IPXE_EXAMPLE},
    "iso": {"iso": ISO_IMAGE},
}


@dataclass(frozen=True)
class PackedFile:
    """An artifact that is published: the step that makes it, and the name of its file."""

    artifact: Artifact
    step: str
    name: str


def packed_files(spec: ImageSpec) -> tuple[PackedFile, ...]:
    """What a build publishes of a template's artifacts, in the template's order."""
    kinds = _OF_KIND.get(spec.target.image_type)
    if kinds:
        stem = f"{spec.name}-{spec.version}"
        return tuple(PackedFile(Artifact(kind), step, f"{stem}.{kind}") for kind, step in kinds.items())
    return tuple(PackedFile(a, _step_name(a), f"{spec.name}-{spec.version}.{suffix(a)}") for a in spec.disk.artifacts)


def file_names(spec: ImageSpec) -> dict[str, str]:
    """The file of each step that makes an artifact, whether that is published or only made something of."""
    if spec.target.image_type in _OF_KIND:
        return {file.step: file.name for file in packed_files(spec)}
    plain = [Artifact(a.type, None, a.subformat) for a in spec.disk.artifacts]
    return {_step_name(a): f"{spec.name}-{spec.version}.{suffix(a)}" for a in (RAW, *plain, *spec.disk.artifacts)}


def block_map_name(spec: ImageSpec) -> str | None:
    """The file name of the block map; None where none is asked for."""
    asked = any(artifact.block_map for artifact in spec.disk.artifacts)
    return f"{spec.name}-{spec.version}.raw.bmap" if asked else None


def goals(spec: ImageSpec) -> tuple[str, ...]:
    """The steps that a build is for."""
    steps = [file.step for file in packed_files(spec)]
    return tuple(dict.fromkeys((*steps, *((BLOCK_MAP,) if block_map_name(spec) else ()))))


def pack_steps(spec: ImageSpec, lock: Lock, disk: Step, tree: Sequence[Input]) -> list[Step]:
    """The steps that make artifacts of the `disk`, and of the `tree` of which it is made."""
    found: dict[str, Step] = {}
    tools = Step(FORMAT_TOOLS, UnpackPackages(_tools(lock)))
    uses = Input("tools", tools.name)
    for artifact in spec.disk.artifacts:
        made = disk
        plain = Artifact(artifact.type, None, artifact.subformat)
        if artifact.type == "tar":
            made = Step(_step_name(plain), PackTar(lock.source_date_epoch), (*tree, uses))
        elif artifact.type != "raw":
            own_name = file_names(spec)[_step_name(plain)] if artifact.type == "vmdk" else None
            action: Action = PackDisk(artifact.type, artifact.subformat, own_name)
            made = Step(_step_name(plain), action, (Input("disk", disk.name), uses))
        found[made.name] = made
        if artifact.compression:
            packed = Step(_step_name(artifact), Compress(artifact.compression), (Input("file", made.name), uses))
            found[packed.name] = packed
        if artifact.block_map:
            found[BLOCK_MAP] = Step(BLOCK_MAP, WriteBlockMap(), (Input("disk", disk.name),))
    found.pop(disk.name, None)
    return [*((tools,) if any(uses in step.inputs for step in found.values()) else ()), *found.values()]


def _tools(lock: Lock) -> tuple[PackageFile, ...]:
    packages = lock.sets[FORMAT_TOOLS].packages() if FORMAT_TOOLS in lock.sets else ()
    return tuple(PackageFile.of(package) for package in packages)


def _step_name(artifact: Artifact) -> str:
    return DISK if artifact == RAW or (artifact.type == "raw" and not artifact.compression) else _pack_name(artifact)


def _pack_name(artifact: Artifact) -> str:
    return f"pack:{suffix(artifact)}"

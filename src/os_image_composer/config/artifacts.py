"""Whether the files that a template asks for can be made: found from the template alone."""

from __future__ import annotations

from collections.abc import Iterator

from os_image_composer.config.findings import Location, key_path, where
from os_image_composer.config.nearest import allowed_values
from os_image_composer.config.sizes import GIB, format_size
from os_image_composer.config.spec import Artifact
from os_image_composer.config.template import ArtifactTemplate, DiskTemplate
from os_image_composer.config.yaml_source import MappingNode
from os_image_composer.errors import Finding

__all__ = ["SUBFORMATS", "artifact", "check_artifacts", "suffix"]

# The first is the one that is made when nothing is said.
SUBFORMATS = {"vhd": ("fixed", "dynamic"), "vmdk": ("monolithic", "streamOptimized")}
_SAME = {"gzip": "gz"}
_SUFFIXES = {"zstd": "zst"}
LARGEST_VHD = 2040 * GIB  # what Hyper-V takes


def artifact(template: ArtifactTemplate) -> Artifact:
    """What a template says, with what it leaves out."""
    subformat = template.subformat or next(iter(SUBFORMATS.get(template.type, ())), None)
    compression = _SAME.get(template.compression or "", template.compression)
    return Artifact(template.type, compression, subformat, template.bmap)


def suffix(made: Artifact) -> str:
    """What the file's name ends with: `raw`, `vmdk`, `tar.zst`."""
    packed = made.compression
    return f"{made.type}.{_SUFFIXES.get(packed, packed)}" if packed else made.type


def check_artifacts(disk: DiskTemplate, node: MappingNode) -> Iterator[Finding]:
    """What is wrong with the artifacts of `disk`; `node` is the tree that it was read from."""
    seen: dict[str, int] = {}
    forms: dict[str, tuple[str | None, int]] = {}
    for index, item in enumerate(disk.artifacts):
        here: Location = ("artifacts", index)
        name = suffix(artifact(item))
        if name in seen:
            message = f"makes a file NAME-VERSION.{name}, as does the artifact {seen[name] + 1} in the list"
            yield _finding(node, "duplicate-value", here, message, "remove one of the two")
        seen.setdefault(name, index)
        form = artifact(item).subformat
        if item.type in forms and forms[item.type][0] != form:
            other, number = forms[item.type]
            message = (
                f"is {form}, and the artifact {number + 1} in the list is {other}: there is one {item.type} a build"
            )
            yield _finding(node, "wrong-value", (*here, "subformat"), message, "make the other one with `convert`")
        forms.setdefault(item.type, (form, index))
        subformats = SUBFORMATS.get(item.type, ())
        if item.subformat is not None and item.subformat not in subformats:
            hint = allowed_values(item.subformat, subformats) if subformats else "remove it"
            message = f"cannot be '{item.subformat}' for {item.type}"
            yield _finding(node, "wrong-value", (*here, "subformat"), message, hint)
        if item.bmap and item.type != "raw":
            message = f"is a map of a raw disk's blocks, and this is {item.type}"
            yield _finding(node, "wrong-value", (*here, "bmap"), message, "remove it")
        if item.type == "vhd" and disk.size > LARGEST_VHD:
            message = f"holds disks of up to {format_size(LARGEST_VHD)}, this one has {format_size(disk.size)}"
            yield _finding(node, "wrong-value", (*here, "type"), message, "use vhdx")


def _finding(node: MappingNode, reference: str, location: Location, message: str, hint: str | None) -> Finding:
    return Finding(reference, f"'{key_path(('disk', *location))}' {message}", where(node, location), hint)

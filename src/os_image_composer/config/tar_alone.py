"""What a template asks for that a tar alone cannot have: the protection that is made of a disk's other partitions."""

from __future__ import annotations

from collections.abc import Iterator

from os_image_composer.config.findings import Location, key_path, node_at, value_at, where
from os_image_composer.config.secure_boot import OLD
from os_image_composer.config.yaml_source import MappingNode, SequenceNode
from os_image_composer.errors import Finding

__all__ = ["check_tar_alone"]

_ARTIFACTS = ("disk", "artifacts")
_SEALED = ("systemConfig", "immutability", "enabled")
_CHAIN = ("systemConfig", "bootloader", "chain")
_KEYS: tuple[Location, ...] = (
    ("systemConfig", "secureBoot"),
    *(("systemConfig", "immutability", word) for word in OLD),
)
_NO_SEAL = "the hash tree is a partition, and the root hash part of a unified kernel image; a tar has neither"
_DISK = "an artifact with a disk, such as {type: raw}"


def check_tar_alone(merged: MappingNode, own: MappingNode) -> Iterator[Finding]:
    """What of `merged`, the whole template, would be left out without a word, if all that it makes is a tar of the
    root filesystem; `own` is what the template says without the OS default's."""
    if not _tar_alone(merged):
        return
    if value_at(merged, _SEALED) is True:
        if node_at(own, _SEALED) is not None:
            message = f"'{key_path(_SEALED)}' cannot be true where a tar is all that is made: {_NO_SEAL}"
            yield Finding("not-in-a-tar", message, where(merged, _SEALED), f"write false, or add {_DISK}")
        else:
            message = f"'{key_path(_ARTIFACTS)}' has nothing but a tar, and the OS default seals the root: {_NO_SEAL}"
            hint = f"systemConfig.immutability: {{enabled: false}}, or add {_DISK}"
            yield Finding("not-in-a-tar", message, where(merged, _ARTIFACTS, key=True), hint)
    keys = next((location for location in _KEYS if node_at(merged, location) is not None), None)
    if keys is not None:
        message = f"'{key_path(keys)}' signs EFI programs, and where a tar is all that is made there are none"
        yield Finding("not-in-a-tar", message, where(merged, keys, key=True), f"remove it, or add {_DISK}")
    if value_at(merged, _CHAIN) == "vendor":
        message = f"'{key_path(_CHAIN)}' cannot be 'vendor' where a tar is all that is made: nothing in it boots"
        yield Finding("not-in-a-tar", message, where(merged, _CHAIN), f"remove it, or add {_DISK}")


def _tar_alone(merged: MappingNode) -> bool:
    made = node_at(merged, _ARTIFACTS)
    types = [value_at(item, ("type",)) for item in made.items] if isinstance(made, SequenceNode) else []
    return bool(types) and all(kind == "tar" for kind in types)

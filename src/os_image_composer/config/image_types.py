"""What each kind of image needs in its template, and what has no meaning there."""

from __future__ import annotations

from collections.abc import Iterator

from os_image_composer.config.boot_rules import ESCAPED_BY_GRUB
from os_image_composer.config.findings import Location, key_path, node_at, value_at, where
from os_image_composer.config.secure_boot import OLD
from os_image_composer.config.yaml_source import MappingNode, ScalarNode
from os_image_composer.errors import Finding

__all__ = ["check_image_type", "required"]

_SYSTEM = "systemConfig"
_LOADER = f"{_SYSTEM}.bootloader"
# What every image needs, in the merge of all templates.
_ALWAYS = (_SYSTEM, f"{_SYSTEM}.name", f"{_SYSTEM}.kernel.cmdline", f"{_SYSTEM}.kernel.packages")
_REQUIRED = {"raw": ("disk", f"{_LOADER}.bootType", f"{_LOADER}.provider")}

# Keys that say nothing about an image of this kind, and why.
_INITRD = {
    "disk": "an initrd has no disk: all of it is in memory",
    _LOADER: "an initrd has no boot loader: whatever starts it, such as iPXE, is not part of it",
    f"{_SYSTEM}.immutability": "an initrd is in memory and is made anew at each start",
    f"{_SYSTEM}.secureBoot": "an initrd has no EFI program to sign: whatever starts it verifies it",
    f"{_SYSTEM}.selinux": "an archive of the root filesystem has no labels",
    f"{_SYSTEM}.live": "it describes a live ISO",
}
_ISO = {
    "disk": "it is what an installer writes to, and the installer is not built yet",
    f"{_LOADER}.bootType": "an ISO starts by UEFI and by a BIOS",
    f"{_LOADER}.tries": "nothing can be counted on a medium that is not written to",
    f"{_LOADER}.kernels": "a live system has one kernel",
    f"{_LOADER}.chain": "the signed GRUB of a vendor does not look for its menu on a CD",
    f"{_SYSTEM}.selinux": "labels in a live ISO are not built yet",
}
_DISK = {f"{_SYSTEM}.live": "it describes a live ISO"}
_MEANINGLESS = {"img": _INITRD, "iso": _ISO, "raw": _DISK}


def required(image_type: str | None) -> tuple[str, ...]:
    """Key paths that the merge of all templates must have."""
    return (*_ALWAYS, *_REQUIRED.get(image_type or "raw", ()))


def check_image_type(merged: MappingNode, image_type: str | None) -> Iterator[Finding]:
    """What `merged`, the whole template, says that an image of its kind cannot be."""
    for path, why in _MEANINGLESS.get(image_type or "raw", {}).items():
        location = tuple(path.split("."))
        found = node_at(merged, location)
        if found is not None and not _asks_nothing(found):
            message = f"'{key_path(location)}' has no meaning with imageType: {image_type}: {why}"
            yield Finding("image-type", message, where(merged, location, key=True), "remove it")
    if image_type == "iso":
        yield from _iso_loader(merged)
    if image_type == "img" and value_at(merged, (_SYSTEM, "kernel", "uki")) is True:
        location = (_SYSTEM, "kernel", "uki")
        message = f"'{key_path(location)}' cannot be true with imageType: img: kernel and initrd are files of their own"
        yield Finding("image-type", message, where(merged, location), "remove it")


def _iso_loader(merged: MappingNode) -> Iterator[Finding]:
    old = any(node_at(merged, (_SYSTEM, "immutability", word)) is not None for word in OLD)
    keys = old or node_at(merged, (_SYSTEM, "secureBoot")) is not None
    sealed: Location = (_SYSTEM, "immutability", "enabled")
    if value_at(merged, sealed) is True and not keys:
        message = f"'{key_path(sealed)}' cannot be true with imageType: iso without keys"
        why = "nothing verifies the root hash, so whoever can write to the medium can write another one"
        hint = "give keys: systemConfig.secureBoot"
        yield Finding("image-type", f"{message}: {why}", where(merged, sealed), hint)
    provider: Location = (*_LOADER.split("."), "provider")
    if value_at(merged, provider) not in (None, "grub", "grub2"):
        message = f"'{key_path(provider)}' cannot be '{value_at(merged, provider)}' with imageType: iso"
        hint = "remove it: UEFI starts systemd-boot where there are keys, a BIOS GRUB" if keys else "provider: grub"
        yield Finding("image-type", f"{message}: a BIOS does not start it", where(merged, provider), hint)
    cmdline: Location = (_SYSTEM, "kernel", "cmdline")
    if any(character in str(value_at(merged, cmdline) or "") for character in ESCAPED_BY_GRUB):
        message = f"'{key_path(cmdline)}' cannot hold quotes or backslashes with imageType: iso: GRUB changes them"
        yield Finding("image-type", message, where(merged, cmdline), "remove them")
    uki: Location = (_SYSTEM, "kernel", "uki")
    if value_at(merged, uki) is True and not keys:
        message = f"'{key_path(uki)}' cannot be true with imageType: iso: a BIOS starts no unified kernel image"
        yield Finding("image-type", message, where(merged, uki), "remove it; with systemConfig.secureBoot UEFI has one")
    elif value_at(merged, uki) is False and keys:
        message = f"'{key_path(uki)}' cannot be false with keys: only in a unified kernel image an initrd is verified"
        yield Finding("image-type", message, where(merged, uki), "remove it")


def _asks_nothing(node: object) -> bool:
    """`{enabled: false}`, and the word `disabled`, say that something is not wanted."""
    if isinstance(node, ScalarNode):
        return node.value == "disabled"
    return isinstance(node, MappingNode) and value_at(node, ("enabled",)) is False

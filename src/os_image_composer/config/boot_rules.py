"""Which firmware, boot loader, kernel files and protection go together: found from the template alone."""

from __future__ import annotations

from collections.abc import Iterator

from os_image_composer.config.distribution import BootData
from os_image_composer.config.findings import Location, key_path, where
from os_image_composer.config.yaml_source import MappingNode, ScalarNode
from os_image_composer.errors import Finding

__all__ = ["ESCAPED_BY_GRUB", "check_boot", "loader_name", "makes_uki"]

_LOADER = ("systemConfig", "bootloader")
_BOOT_TYPE = (*_LOADER, "bootType")
_PROVIDER = (*_LOADER, "provider")
_UKI = ("systemConfig", "kernel", "uki")
_CMDLINE = ("systemConfig", "kernel", "cmdline")
_SEALED = ("systemConfig", "immutability", "enabled")
_SECURE_BOOT = ("systemConfig", "secureBoot")
_OLD_KEY = ("systemConfig", "immutability", "secureBootDBKey")
# What GRUB's `linux` command puts a backslash before (GRUB, grub-core/lib/cmdline.c), which no kernel undoes.
ESCAPED_BY_GRUB = "\"'\\"


def loader_name(provider: str | None) -> str:
    """The boot loader by the one name that the rest of the program knows."""
    return "grub" if provider == "grub2" else provider or ""


def makes_uki(said: bool | None, provider: str) -> bool:
    """Whether there is a unified kernel image; `said` is `kernel.uki`."""
    return provider == "systemd-boot" if said is None else said


def check_boot(merged: MappingNode, known: BootData) -> tuple[Finding, ...]:
    """What does not go together in `merged`, the whole template; `known` is what the distribution offers."""
    check = _Boot(merged, known)
    return (*check.firmware(), *check.loader(), *check.protection(), *check.vendor())


class _Boot:
    """The template under check; each method gives the findings of one kind."""

    def __init__(self, merged: MappingNode, known: BootData) -> None:
        self._merged = merged
        self._known = known
        self.legacy = self._value(_BOOT_TYPE) == "legacy"
        provider = self._value(_PROVIDER)
        self.grub = loader_name(provider if isinstance(provider, str) else None) == "grub"
        said = self._value(_UKI)
        self.uki = makes_uki(said if isinstance(said, bool) else None, "grub" if self.grub else "systemd-boot")
        self.vendor_chain = self._value((*_LOADER, "chain")) == "vendor"

    def firmware(self) -> Iterator[Finding]:
        if not self.legacy:
            return
        if not self.grub:
            message = "cannot be 'systemd-boot' with bootType: legacy: it is an EFI program, which no BIOS starts"
            yield self._finding(_PROVIDER, message, "provider: grub")
        elif self.uki:
            message = "cannot be true with bootType: legacy: a unified kernel image is an EFI program"
            yield self._finding(_UKI, message, "remove it, or write bootType: efi")
        if self.grub and (self._known.grub is None or self._known.grub.bios is None):
            message = "cannot be 'legacy': no GRUB for a BIOS is known for this target"
            yield self._finding(_BOOT_TYPE, message, "bootType: efi")

    def loader(self) -> Iterator[Finding]:
        if not self.grub:
            return
        if not self.legacy and (self._known.grub is None or self._known.grub.efi is None):
            message = "cannot be 'grub': no GRUB for EFI is known for this target"
            yield self._finding(_PROVIDER, message, "provider: systemd-boot")
        if self._value((*_LOADER, "tries")) is not None:
            message = "is counted by systemd-boot, which renames the entry; GRUB cannot write to the disk"
            yield self._finding((*_LOADER, "tries"), message, "remove it, or write provider: systemd-boot")
        cmdline = str(self._value(_CMDLINE) or "")
        if not self.uki and any(character in cmdline for character in ESCAPED_BY_GRUB):
            message = "cannot hold quotes or backslashes with GRUB, which puts a backslash before them"
            yield self._finding(
                _CMDLINE, message, "kernel.uki: true, or provider: systemd-boot, keeps them as they are"
            )

    def protection(self) -> Iterator[Finding]:
        sealed = self._value(_SEALED) is True
        if sealed and self.legacy:
            message = (
                "cannot be true with bootType: legacy: a BIOS verifies nothing, so whoever can write to the disk can "
                "write another root hash"
            )
            yield self._finding(_SEALED, message, "bootType: efi with kernel.uki: true")
        elif sealed and not self.uki:
            message = (
                "cannot be true without a unified kernel image: the root hash is part of the command line, which "
                "stands in a file that anybody can change"
            )
            yield self._finding(_SEALED, message, "kernel.uki: true")
        for keys in (_SECURE_BOOT, _OLD_KEY):
            if self._there(keys) and self.legacy:
                message = "cannot be had with bootType: legacy: secure boot is a service of UEFI"
                yield self._finding(keys, message, "bootType: efi", key=True)
            elif self._there(keys) and self.vendor_chain:
                message = "cannot be had with bootloader.chain: vendor, where the vendor has signed everything"
                yield self._finding(keys, message, "remove it, or write chain: own", key=True)
            elif self._there(keys) and self.grub:
                message = (
                    "cannot be had with GRUB: without a shim it has nobody who verifies kernels or unified kernel "
                    "images, and starts none while secure boot is on"
                )
                yield self._finding(keys, message, "provider: systemd-boot", key=True)

    def vendor(self) -> Iterator[Finding]:
        if not self.vendor_chain:
            return
        here = (*_LOADER, "chain")
        if self.legacy or not self.grub:
            message = "cannot be 'vendor' without GRUB for EFI: the vendor's shim starts the vendor's GRUB"
            yield self._finding(here, message, "bootType: efi with provider: grub")
        elif self.uki:
            message = "cannot be 'vendor' with kernel.uki: true: no vendor has signed a file that this build makes"
            yield self._finding(here, message, "kernel.uki: false, or chain: own")
        elif self._known.vendor is None:
            yield self._finding(
                here, "cannot be 'vendor': no signed shim and GRUB are known for this target", "chain: own"
            )

    def _at(self, location: Location) -> object:
        node: object = self._merged
        for part in location:
            node = node.get(str(part)) if isinstance(node, MappingNode) else None
        return node

    def _value(self, location: Location) -> object:
        node = self._at(location)
        return node.value if isinstance(node, ScalarNode) else None

    def _there(self, location: Location) -> bool:
        return self._at(location) is not None

    def _finding(self, location: Location, message: str, hint: str, *, key: bool = False) -> Finding:
        place = where(self._merged, location, key=key)
        return Finding("boot-combination", f"'{key_path(location)}' {message}", place, hint)

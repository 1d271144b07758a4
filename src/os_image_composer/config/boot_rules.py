"""Which firmware, boot loader, kernel files and protection go together: found from the template alone."""

from __future__ import annotations

from collections.abc import Iterator

from os_image_composer.config.distribution import BootData
from os_image_composer.config.findings import Location, key_path, where
from os_image_composer.config.partition_roles import READ_ONLY
from os_image_composer.config.partition_types import PARTITION_TYPES, ROOT_TYPE_BY_ARCH
from os_image_composer.config.yaml_source import MappingNode, ScalarNode, SequenceNode
from os_image_composer.errors import Finding, Origin

__all__ = ["ESCAPED_BY_GRUB", "check_boot", "loader_name", "makes_uki"]

_LOADER = ("systemConfig", "bootloader")
_BOOT_TYPE = (*_LOADER, "bootType")
_PROVIDER = (*_LOADER, "provider")
_UKI = ("systemConfig", "kernel", "uki")
_CMDLINE = ("systemConfig", "kernel", "cmdline")
_SEALED = ("systemConfig", "immutability", "enabled")
_SECURE_BOOT = ("systemConfig", "secureBoot")
_CHAIN = (*_LOADER, "chain")
_UNFIXED = "remove it, or write chain: own"
_UNSEALED = "systemConfig.immutability: {enabled: false}"
# What is inside a unified kernel image, and whose it is there.
_IN_UKI = (
    (_CMDLINE, "the command line is part"),
    (("systemConfig", "kernel", "enableExtraModules"), "the initrd is part"),
    (("systemConfig", "selinux"), "the words that switch it stand in the command line, which is part"),
)
_OLD_KEY = ("systemConfig", "immutability", "secureBootDBKey")
# What GRUB's `linux` command puts a backslash before (GRUB, grub-core/lib/cmdline.c), which no kernel undoes.
ESCAPED_BY_GRUB = "\"'\\"


def loader_name(provider: str | None) -> str:
    """The boot loader by the one name that the rest of the program knows."""
    return "grub" if provider == "grub2" else provider or ""


def makes_uki(said: bool | None, provider: str) -> bool:
    """Whether there is a unified kernel image; `said` is `kernel.uki`."""
    return provider == "systemd-boot" if said is None else said


def check_boot(merged: MappingNode, known: BootData, own: MappingNode | None = None) -> tuple[Finding, ...]:
    """What does not go together in `merged`, the whole template; `known` is what the distribution offers, `own` what
    the template says without the OS default's."""
    check = _Boot(merged, known, own or merged)
    return (*check.firmware(), *check.loader(), *check.protection(), *check.vendor())


class _Boot:
    """The template under check; each method gives the findings of one kind."""

    def __init__(self, merged: MappingNode, known: BootData, own: MappingNode) -> None:
        self._merged = merged
        self._own = own
        self._known = known
        self.legacy = self._value(_BOOT_TYPE) == "legacy"
        provider = self._value(_PROVIDER)
        self.grub = loader_name(provider if isinstance(provider, str) else None) == "grub"
        said = self._value(_UKI)
        self.uki = makes_uki(said if isinstance(said, bool) else None, "grub" if self.grub else "systemd-boot")
        self.vendor_chain = self._value(_CHAIN) == "vendor"
        self.sealed = self._value(_SEALED) is True

    def firmware(self) -> Iterator[Finding]:
        if not self.legacy:
            return
        if not self.grub:
            message = "cannot be 'systemd-boot' with bootType: legacy: it is an EFI program, which no BIOS starts"
            yield self._finding(_PROVIDER, message, "provider: grub", place=self._asked(_PROVIDER, _BOOT_TYPE))
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
        if self.sealed and self.legacy:
            why = (
                "with bootType: legacy: a BIOS verifies nothing, so whoever can write to the disk can write another "
                "root hash"
            )
            yield self._no_seal(why, "bootType: efi with kernel.uki: true", _BOOT_TYPE)
        elif self.sealed and not self.uki:
            why = (
                "without a unified kernel image: the root hash is part of the command line, which stands in a file "
                "that anybody can change"
            )
            way = "chain: own with kernel.uki: true" if self.vendor_chain else "kernel.uki: true"
            yield self._no_seal(why, way, _UKI, *((_CHAIN,) if self.vendor_chain else ()), _PROVIDER)
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
        here, chain = _CHAIN, self._known.vendor
        if chain is None:
            message = "cannot be 'vendor': no signed shim and boot loader are known for this target"
            yield self._finding(here, message, "chain: own")
        elif self.legacy or self.grub != (chain.provider == "grub"):
            loader = "GRUB" if chain.provider == "grub" else "systemd-boot"
            message = f"cannot be 'vendor' without {loader} for EFI: the vendor's shim starts the vendor's {loader}"
            unsealed = f" and {_UNSEALED}" if self.sealed else ""
            yield self._finding(here, message, f"bootType: efi with provider: {chain.provider}{unsealed}")
        elif chain.uki is not None:
            yield from self._fixed()
        elif self.uki:
            message = "cannot be 'vendor' with kernel.uki: true: no vendor has signed a file that this build makes"
            unsealed = f" with {_UNSEALED}" if self.sealed else ""
            yield self._finding(here, message, f"kernel.uki: false{unsealed}, or chain: own")

    def _fixed(self) -> Iterator[Finding]:
        """What cannot be had where the vendor has signed kernel, initrd and command line as one file."""
        if not self.uki:
            message = "cannot be false with bootloader.chain: vendor: the vendor has signed a unified kernel image"
            yield self._finding(_UKI, message, _UNFIXED)
        if self.sealed:
            why = (
                "with bootloader.chain: vendor: the root hash would have to be in the command line, and what sets "
                "such a root up in the initrd; both are part of what the vendor has signed"
            )
            yield self._no_seal(why, "chain: own", _CHAIN)
        for location, part in _IN_UKI:
            # The OS default says it for images with an initrd of their own; a remark tells that it is unused.
            if self._at(location, self._own) is not None:
                message = f"cannot be had with bootloader.chain: vendor: {part} of the vendor's signed file"
                yield self._finding(location, message, _UNFIXED)
        yield from self._found_root()

    def _found_root(self) -> Iterator[Finding]:
        """The vendor's command line names no root: its initrd takes the partition whose type says that it is one."""
        disk, arch = self._at(("disk", "partitions")), self._value(("target", "arch"))
        kind = ROOT_TYPE_BY_ARCH.get(str(arch), "")
        for index, item in enumerate(disk.items if isinstance(disk, SequenceNode) else ()):
            said = {key: self._at((key,), item) for key in ("mountPoint", "type", "typeUUID", "fsType")}
            words = {key: node.value for key, node in said.items() if isinstance(node, ScalarNode)}
            if words.get("mountPoint") != "/":
                continue
            found = str(words.get("type") or words.get("typeUUID") or "linux")
            if kind and PARTITION_TYPES.get(found, found.upper()) != PARTITION_TYPES[kind]:
                message = (
                    f"must be '{kind}' with bootloader.chain: vendor: the vendor's command line names no root, and its "
                    "initrd looks for a partition of that type"
                )
                yield self._finding(("disk", "partitions", index, "type"), message, f"type: {kind}")
            if words.get("fsType") in READ_ONLY:
                message = (
                    "cannot be a filesystem that is never written to with bootloader.chain: vendor: the vendor's "
                    "initrd does not set up what changes"
                )
                yield self._finding(("disk", "partitions", index, "fsType"), message, "fsType: ext4, or chain: own")

    def _at(self, location: Location, node: object = None) -> object:
        node = self._merged if node is None else node
        for part in location:
            node = node.get(str(part)) if isinstance(node, MappingNode) else None
        return node

    def _value(self, location: Location) -> object:
        node = self._at(location)
        return node.value if isinstance(node, ScalarNode) else None

    def _there(self, location: Location) -> bool:
        return self._at(location) is not None

    def _asked(self, *locations: Location) -> Origin | None:
        """Where the template itself says the first of `locations` that it says at all: the OS default's line is not
        what its author can change."""
        said = (location for location in locations if self._at(location, self._own) is not None)
        return next((where(self._own, location) for location in said), None)

    def _no_seal(self, why: str, way: str, *causes: Location) -> Finding:
        """A root that cannot be sealed: `causes` are the keys that forbid it, `way` how it can be sealed after all."""
        if self._asked(_SEALED) is not None:
            return self._finding(_SEALED, f"cannot be true {why}", f"{way}, or {_UNSEALED}")
        message = f"is true in the OS default, and cannot be true {why}"
        return self._finding(_SEALED, message, f"{_UNSEALED}, or {way}", place=self._asked(*causes))

    def _finding(
        self, location: Location, message: str, hint: str, *, key: bool = False, place: Origin | None = None
    ) -> Finding:
        place = place or where(self._merged, location, key=key)
        return Finding("boot-combination", f"'{key_path(location)}' {message}", place, hint)

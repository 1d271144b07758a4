"""Where the UEFI firmware of the build host is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from os_image_composer.errors import BootError


@dataclass(frozen=True)
class Firmware:
    """A pair of flash images: the code is used read-only, the variables are copied for every run. `smm` says that the
    code was built to keep its variables in system management mode, and does not start without it."""

    code: Path
    variables: Path
    smm: bool = False


# OVMF builds without enrolled keys, as the distributions install them (package ovmf, edk2-ovmf, qemu-ovmf-x86_64).
USUAL = tuple(
    Firmware(Path(folder, code), Path(folder, variables))
    for folder, code, variables in (
        ("/usr/share/OVMF", "OVMF_CODE_4M.fd", "OVMF_VARS_4M.fd"),  # Debian, Ubuntu
        ("/usr/share/OVMF", "OVMF_CODE.fd", "OVMF_VARS.fd"),
        ("/usr/share/edk2/ovmf", "OVMF_CODE.fd", "OVMF_VARS.fd"),  # Fedora
        ("/usr/share/edk2/x64", "OVMF_CODE.4m.fd", "OVMF_VARS.4m.fd"),  # Arch
        ("/usr/share/qemu", "ovmf-x86_64-4m-code.bin", "ovmf-x86_64-4m-vars.bin"),  # SUSE
        ("/usr/share/qemu", "ovmf-x86_64-code.bin", "ovmf-x86_64-vars.bin"),
    )
)


# Builds that know secure boot, with variables that hold no key. Those of Debian do without SMM, which only guards the
# variables from the guest.
SECURE = (
    Firmware(Path("/usr/share/OVMF/OVMF_CODE_4M.fd"), Path("/usr/share/OVMF/OVMF_VARS_4M.fd")),  # Debian, Ubuntu
    Firmware(
        Path("/usr/share/edk2/ovmf/OVMF_CODE.secboot.fd"), Path("/usr/share/edk2/ovmf/OVMF_VARS.fd"), True
    ),  # Fedora
    Firmware(
        Path("/usr/share/edk2/x64/OVMF_CODE.secboot.4m.fd"), Path("/usr/share/edk2/x64/OVMF_VARS.4m.fd"), True
    ),  # Arch
)
# The same with Microsoft's keys, which vendors' boot loaders are signed with.
VENDOR = (
    Firmware(Path("/usr/share/OVMF/OVMF_CODE_4M.fd"), Path("/usr/share/OVMF/OVMF_VARS_4M.ms.fd")),
    Firmware(
        Path("/usr/share/edk2/ovmf/OVMF_CODE.secboot.fd"), Path("/usr/share/edk2/ovmf/OVMF_VARS.secboot.fd"), True
    ),
)


def find_firmware(candidates: Iterable[Firmware] = USUAL) -> Firmware:
    """The first pair of which both files are there. Raises BootError."""
    candidates = tuple(candidates)
    for firmware in candidates:
        if firmware.code.is_file() and firmware.variables.is_file():
            return firmware
    raise BootError(
        "boot-firmware-missing",
        "no UEFI firmware for QEMU on this host",
        cause="looked in " + ", ".join(sorted({str(f.code.parent) for f in candidates})),
        hint="install it: scripts/install-host-packages --boot (packages qemu-system-x86 and ovmf)",
    )

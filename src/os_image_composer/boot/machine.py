"""What a virtual machine is given. Apart from what starts it, because the command line offers these as flags and must
not load all of that to print a help text."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from os_image_composer.boot.firmware import Firmware


class Accelerator(Enum):
    """TCG works everywhere. KVM is for those who know that theirs does: a /dev/kvm that is there may still fail
    (nested, without the MSRs that the firmware needs), so it is never chosen by its existence."""

    TCG = "tcg"
    KVM = "kvm"


class FirmwareKind(Enum):
    UEFI = "uefi"
    BIOS = "bios"


class Media(Enum):
    """What the image is to the machine."""

    DISK = "disk"
    CD = "cd"
    USB = "usb"


@dataclass(frozen=True)
class SecureBoot:
    """Secure boot with the keys that a build left in the folder `keys`, or with those of the firmware's vendor where
    that is None."""

    keys: Path | None


@dataclass(frozen=True)
class Machine:
    """The virtual machine: `memory` in MiB, None as much as the image needs, 1024 at least; `kind` None is the one that
    the image is made for, `firmware` None the host's usual one of UEFI. That for a BIOS is QEMU's own, SeaBIOS. `media`
    None is a CD for an ISO, a disk for others. `secure_boot` None is off. With `keeps_changes` the guest writes into
    the image file itself, for who wants to see what a second start finds."""

    accelerator: Accelerator = Accelerator.TCG
    memory: int | None = None
    cpus: int = 2
    firmware: Firmware | None = None
    kind: FirmwareKind | None = None
    media: Media | None = None
    secure_boot: SecureBoot | None = None
    keeps_changes: bool = False

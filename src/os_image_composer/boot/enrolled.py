"""Firmware variables with keys enrolled: what a machine's owner does in the firmware's menu, done to a file.

Source: edk2, MdeModulePkg/Include/Guid/VariableFormat.h (VARIABLE_STORE_HEADER, AUTHENTICATED_VARIABLE_HEADER) and
MdePkg/Include/Pi/PiFirmwareVolume.h (EFI_FIRMWARE_VOLUME_HEADER); UEFI specification §32.3.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Mapping
from pathlib import Path

from os_image_composer.errors import BootError
from os_image_composer.formats.uefi_keys import (
    ATTRIBUTES,
    VENDOR_OF,
    efi_time,
    read_signature_lists,
    read_signed_update,
)
from os_image_composer.formats.window import FormatError

VARIABLES = ("PK", "KEK", "db")
_VOLUME_LENGTH_AT, _HEADER_LENGTH_AT = 40, 48
_STORE = struct.Struct("<16sIBB6x")
_AUTHENTICATED = uuid.UUID("aaf32c78-947b-439a-a180-2e144ec37792")
_FORMATTED, _HEALTHY = 0x5A, 0xFE
_VARIABLE = struct.Struct("<HBBIQ16sIII16s")
_START, _ADDED = 0x55AA, 0x3F
_ALIGNMENT = 4
_ENABLE = uuid.UUID("f0a30bc7-af08-4556-99c4-001009c93a44")  # edk2, EFI_SECURE_BOOT_ENABLE_DISABLE
_NON_VOLATILE_BOOT = 0x01 | 0x02


def read_updates(folder: Path) -> Mapping[str, tuple[bytes, int]]:
    """The keys that a build left in `folder` (`PK.auth`, `KEK.auth`, `db.auth`): content and date (seconds since the
    epoch) by variable. Raises BootError `no-enrolment`, `bad-enrolment`."""
    found: dict[str, tuple[bytes, int]] = {}
    for name in VARIABLES:
        file = folder / f"{name}.auth"
        try:
            update = read_signed_update(file.read_bytes())
            if not read_signature_lists(update.content):
                raise FormatError("it holds no key")
        except OSError as error:
            raise BootError(
                "no-enrolment",
                f"there are no keys to boot with under secure boot: {file} cannot be read",
                cause=error.strerror,
                hint="a build leaves them beside an image that has systemConfig.secureBoot; or name their folder: "
                "--keys DIR",
            ) from error
        except FormatError as error:
            raise BootError("bad-enrolment", f"{file} is no signed key of a machine", cause=str(error)) from error
        found[name] = update.content, int(update.time.timestamp())
    return found


def with_keys(variables: bytes, keys: Mapping[str, tuple[bytes, int]]) -> bytes:
    """Firmware variables as `variables`, with the keys enrolled and secure boot on. Raises FormatError where it is no
    store of edk2's variables, holds some already, or lacks the room."""
    start, end = _store(variables)
    if variables[start : start + _VARIABLE.size].strip(b"\xff"):
        raise FormatError("it holds variables already")
    rows = [_variable(name, VENDOR_OF[name], ATTRIBUTES, keys[name][1], keys[name][0]) for name in VARIABLES]
    rows.append(_variable("SecureBootEnable", _ENABLE, _NON_VOLATILE_BOOT, None, b"\x01"))
    added = b"".join(rows)
    if start + len(added) > end:
        raise FormatError("there is no room in it")
    return variables[:start] + added + variables[start + len(added) :]


def _store(variables: bytes) -> tuple[int, int]:
    """Where in the file variables begin, and where their store ends."""
    try:
        (header,) = struct.unpack_from("<H", variables, _HEADER_LENGTH_AT)
        guid, size, form, state = _STORE.unpack_from(variables, header)
    except struct.error as error:
        raise FormatError("it is cut off") from error
    known = variables[_VOLUME_LENGTH_AT : _VOLUME_LENGTH_AT + 4] == b"_FVH" and guid == _AUTHENTICATED.bytes_le
    if not known or (form, state) != (_FORMATTED, _HEALTHY) or header + size > len(variables):
        raise FormatError("it is no store of variables that secure boot can use")
    return _aligned(header + _STORE.size), header + size


def _variable(name: str, vendor: uuid.UUID, attributes: int, seconds: int | None, data: bytes) -> bytes:
    text = name.encode("utf-16-le") + b"\0\0"
    date = bytes(16) if seconds is None else efi_time(seconds)
    head = _VARIABLE.pack(_START, _ADDED, 0, attributes, 0, date, 0, len(text), len(data), vendor.bytes_le)
    whole = head + text + data
    return whole + b"\xff" * (-len(whole) % _ALIGNMENT)


def _aligned(at: int) -> int:
    return -(-at // _ALIGNMENT) * _ALIGNMENT

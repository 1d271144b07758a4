"""The keys of UEFI secure boot as they are written down: signature lists, and signed updates of variables.

Source: UEFI specification §32.4.1 (EFI_SIGNATURE_LIST), §8.2.2 (EFI_VARIABLE_AUTHENTICATION_2), §32.2.4
(WIN_CERTIFICATE_UEFI_GUID), appendix A (GUIDs: the first three fields are little-endian). Sizes are bytes.
"""

from __future__ import annotations

import struct
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime

from os_image_composer.formats.window import FormatError

GLOBAL_VARIABLE = uuid.UUID("8be4df61-93ca-11d2-aa0d-00e098032b8c")
SECURITY_DATABASE = uuid.UUID("d719b2cb-3d3a-4596-a3bc-dad00e67656f")
X509 = uuid.UUID("a5c059a1-94e4-4aa7-87b5-ab155c2bf072")
PKCS7 = uuid.UUID("4aafd29d-68df-49ee-8aa9-347d375665a7")
#: The vendor GUID of each variable that holds keys.
VENDOR_OF = {"PK": GLOBAL_VARIABLE, "KEK": GLOBAL_VARIABLE, "db": SECURITY_DATABASE, "dbx": SECURITY_DATABASE}
#: Non-volatile, for boot services and the running system, updates signed and dated (§8.2).
ATTRIBUTES = 0x01 | 0x02 | 0x04 | 0x20
_LIST, _TIME = struct.Struct("<16sIII"), struct.Struct("<HBBBBBxIhBx")
_CERTIFICATE = struct.Struct("<IHH16s")
_REVISION_2, _TYPE_GUID = 0x0200, 0x0EF1
_MOST = 1024


@dataclass(frozen=True)
class ListedKey:
    """An entry of a signature list: `type` says what `data` is (X509: a certificate in DER), `owner` who put it in."""

    type: uuid.UUID
    owner: uuid.UUID
    data: bytes


@dataclass(frozen=True)
class SignedUpdate:
    """A signed update of a variable: `signature` is a bare SignedData, `content` what the variable would hold."""

    time: datetime
    signature: bytes
    content: bytes


def signature_list(certificate: bytes, owner: uuid.UUID) -> bytes:
    """A list with one X.509 certificate (DER): certificates differ in length, so each has a list of its own."""
    size = 16 + len(certificate)
    return _LIST.pack(X509.bytes_le, _LIST.size + size, 0, size) + owner.bytes_le + certificate


def read_signature_lists(data: bytes) -> tuple[ListedKey, ...]:
    """The entries of lists that follow one another. Raises FormatError."""
    found: list[ListedKey] = []
    at = 0
    while at < len(data):
        if at + _LIST.size > len(data):
            raise FormatError("a signature list is cut off")
        kind, total, header, size = _LIST.unpack_from(data, at)
        first, end = at + _LIST.size + header, at + total
        if size <= 16 or end > len(data) or first >= end or (end - first) % size:
            raise FormatError("a signature list's sizes do not fit one another")
        if len(found) + (end - first) // size > _MOST:
            raise FormatError(f"more than {_MOST} keys")
        for start in range(first, end, size):
            owner = uuid.UUID(bytes_le=data[start : start + 16])
            found.append(ListedKey(uuid.UUID(bytes_le=kind), owner, data[start + 16 : start + size]))
        at = end
    return tuple(found)


def efi_time(seconds: int) -> bytes:
    """EFI_TIME in UTC, with the fields that a signed variable must have as zero (§8.2.2)."""
    when = datetime.fromtimestamp(seconds, UTC)
    return _TIME.pack(when.year, when.month, when.day, when.hour, when.minute, when.second, 0, 0, 0)


def update_message(name: str, content: bytes, seconds: int, attributes: int = ATTRIBUTES) -> bytes:
    """The bytes that the signature of an update is over. Raises KeyError for a variable that holds no keys."""
    head = name.encode("utf-16-le") + VENDOR_OF[name].bytes_le + struct.pack("<I", attributes)
    return head + efi_time(seconds) + content


def signed_update(content: bytes, seconds: int, signature: bytes) -> bytes:
    """EFI_VARIABLE_AUTHENTICATION_2, then the content: what a `.auth` file holds."""
    certificate = _CERTIFICATE.pack(_CERTIFICATE.size + len(signature), _REVISION_2, _TYPE_GUID, PKCS7.bytes_le)
    return efi_time(seconds) + certificate + signature + content


def read_signed_update(data: bytes) -> SignedUpdate:
    """Raises FormatError where `data` is none."""
    try:
        year, month, day, hour, minute, second, *_ = _TIME.unpack_from(data)
        length, revision, kind, guid = _CERTIFICATE.unpack_from(data, _TIME.size)
        time = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except (struct.error, ValueError) as error:
        raise FormatError(f"no signed update of a variable: {error}") from error
    end = _TIME.size + length
    if (revision, kind, guid) != (_REVISION_2, _TYPE_GUID, PKCS7.bytes_le):
        raise FormatError("no signed update of a variable")
    if length < _CERTIFICATE.size or end > len(data):
        raise FormatError("a signed update of a variable is cut off")
    return SignedUpdate(time, data[_TIME.size + _CERTIFICATE.size : end], data[end:])

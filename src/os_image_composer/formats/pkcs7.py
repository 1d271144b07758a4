"""Who signed: the signers that a PKCS #7 SignedData names, as far as its certificates tell.

Source: RFC 2315 §9 and RFC 5652 §5 (SignedData, SignerInfo), RFC 5280 §4.1 (Certificate, Name), X.690 (DER). This says
what is written there; nothing is verified here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from os_image_composer.formats.window import FormatError

_SIGNED_DATA = bytes.fromhex("2a864886f70d010702")
_NAME_PARTS = {bytes.fromhex("550403"): "CN", bytes.fromhex("55040a"): "O", bytes.fromhex("55040b"): "OU"}
_SEQUENCE, _SET, _OID, _INTEGER, _CONTEXT_0 = 0x30, 0x31, 0x06, 0x02, 0xA0
_MAX_ITEMS = 256


class _Item(NamedTuple):
    tag: int
    value: bytes
    whole: bytes


def signer_names(blob: bytes) -> tuple[str, ...]:
    """The subject of each signer's certificate (`CN=…, O=…`), or its issuer and serial number where the certificate
    is not included. Raises FormatError where `blob` is no SignedData."""
    outer = _items(_only(blob, _SEQUENCE))
    if len(outer) < 2 or outer[0] != (_OID, _SIGNED_DATA, outer[0].whole) or outer[1].tag != _CONTEXT_0:
        raise FormatError("no PKCS #7 signed data")
    fields = _items(_only(outer[1].value, _SEQUENCE))
    subjects: dict[tuple[bytes, bytes], bytes] = {}
    for field in fields:
        if field.tag == _CONTEXT_0:
            for certificate in _items(field.value):
                issuer, serial, subject = _certificate(certificate)
                subjects[issuer, serial] = subject
    if not fields or fields[-1].tag != _SET:
        raise FormatError("no signers in PKCS #7 signed data")
    return tuple(_signer(info, subjects) for info in _items(fields[-1].value))


def _signer(info: _Item, subjects: dict[tuple[bytes, bytes], bytes]) -> str:
    parts = _items(info.value)
    if len(parts) < 2:
        raise FormatError("a signer has no issuer")
    who = _items(parts[1].value)
    if parts[1].tag != _SEQUENCE or len(who) != 2:
        return f"key id {parts[1].value.hex()}"
    issuer, serial = who[0].whole, who[1].value
    subject = subjects.get((issuer, serial))
    return _name(subject) if subject else f"serial {serial.hex()} of {_name(issuer)}"


def _certificate(item: _Item) -> tuple[bytes, bytes, bytes]:
    """Issuer, serial number and subject."""
    fields = _items(_items(item.value)[0].value) if item.tag == _SEQUENCE and _items(item.value) else []
    fields = fields[1:] if fields and fields[0].tag == _CONTEXT_0 else fields
    if len(fields) < 5 or fields[0].tag != _INTEGER:
        raise FormatError("a certificate is damaged")
    return fields[2].whole, fields[0].value, fields[4].whole


def _name(data: bytes) -> str:
    shown = []
    for relative in _items(_only(data, _SEQUENCE)):
        for pair in _items(relative.value):
            parts = _items(pair.value)
            if len(parts) == 2 and parts[0].value in _NAME_PARTS:
                wide = parts[1].tag == 0x1E  # BMPString
                text = parts[1].value.decode("utf-16-be" if wide else "utf-8", "replace")
                shown.append(f"{_NAME_PARTS[parts[0].value]}={text}")
    return ", ".join(shown) or "an unnamed signer"


def _only(data: bytes, tag: int) -> bytes:
    items = _items(data)
    if not items or items[0].tag != tag:
        raise FormatError("not the DER that was expected")
    return items[0].value


def _items(data: bytes) -> list[_Item]:
    return list(_split(data))


def _split(data: bytes) -> Iterator[_Item]:
    at = count = 0
    while at < len(data):
        count += 1
        if count > _MAX_ITEMS or at + 2 > len(data):
            raise FormatError("damaged DER")
        tag, length, start = data[at], data[at + 1], at + 2
        if length & 0x80:
            octets = length & 0x7F
            if not 1 <= octets <= 4 or start + octets > len(data):
                # Padding after the last item is no item.
                if tag == 0:
                    return
                raise FormatError("damaged DER")
            length = int.from_bytes(data[start : start + octets])
            start += octets
        if tag == 0 and length == 0:
            return
        if start + length > len(data):
            raise FormatError("damaged DER")
        yield _Item(tag, data[start : start + length], data[at : start + length])
        at = start + length

"""DER: reading it item by item, and writing it.

Source: ITU-T X.690 §8 and §10 (tags of one byte, definite lengths). The reader takes bytes from anybody; the writer
makes what it is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from os_image_composer.formats.window import FormatError

INTEGER, BIT_STRING, OCTETS, NULL, OID, SEQUENCE, SET, BMP = 0x02, 0x03, 0x04, 0x05, 0x06, 0x30, 0x31, 0x1E
CONTEXT_0, CONTEXT_1, CONTEXT_2 = 0xA0, 0xA1, 0xA2
_MAX_ITEMS = 256


class Item(NamedTuple):
    """`value` are the contents, `whole` the item with its tag and length."""

    tag: int
    value: bytes
    whole: bytes


def only(data: bytes, tag: int) -> bytes:
    """The contents of the first item, which must be of `tag`. Raises FormatError."""
    items = split(data)
    if not items or items[0].tag != tag:
        raise FormatError("not the DER that was expected")
    return items[0].value


def split(data: bytes) -> list[Item]:
    """The items one after the other; padding of zeros behind the last one is none. Raises FormatError."""
    return list(_split(data))


def _split(data: bytes) -> Iterator[Item]:
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
        yield Item(tag, data[start : start + length], data[at : start + length])
        at = start + length


def item(tag: int, *parts: bytes) -> bytes:
    """An item of `tag` around the parts, one after the other."""
    value = b"".join(parts)
    if len(value) < 0x80:
        return bytes((tag, len(value))) + value
    length = len(value).to_bytes((len(value).bit_length() + 7) // 8)
    return bytes((tag, 0x80 | len(length))) + length + value


def sequence(*parts: bytes) -> bytes:
    return item(SEQUENCE, *parts)


def set_of(*parts: bytes) -> bytes:
    """In the order that §11.6 asks for."""
    return item(SET, *sorted(parts))


def integer(value: int) -> bytes:
    return item(INTEGER, value.to_bytes(value.bit_length() // 8 + 1, signed=True))


def oid(dotted: str) -> bytes:
    return item(OID, oid_value(dotted))


def oid_value(dotted: str) -> bytes:
    """The contents of an object identifier (§8.19)."""
    first, second, *rest = (int(part) for part in dotted.split("."))
    out = bytearray()
    for number in (40 * first + second, *rest):
        groups = [number & 0x7F]
        while number := number >> 7:
            groups.append(0x80 | number & 0x7F)
        out += bytes(reversed(groups))
    return bytes(out)

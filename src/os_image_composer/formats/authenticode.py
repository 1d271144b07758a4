"""Authenticode: which bytes of an EFI program a signature is over, and what it says of them.

Source: Microsoft "Windows Authenticode Portable Executable Signature Format" (calculating the image hash,
SpcIndirectDataContent); UEFI specification §32.5.1. What a firmware hashes is followed to the letter, gaps between
sections included: they are in no signature.
"""

from __future__ import annotations

import hashlib

from os_image_composer.formats import der
from os_image_composer.formats.pe import PeImage
from os_image_composer.formats.signed_data import DIGESTS, SignedData
from os_image_composer.formats.window import FormatError, Window

INDIRECT_DATA = "1.3.6.1.4.1.311.2.1.4"
PE_IMAGE_DATA = "1.3.6.1.4.1.311.2.1.15"
_BLOCK = 1 << 20


def image_digest(image: PeImage, file: Window, name: str = "sha256") -> bytes:
    """The hash of a program without its checksum and its signatures. `name` as hashlib has it. Raises FormatError where
    the headers give no order of bytes to hash."""
    total = hashlib.new(name)
    for start, end in _hashed(image, file.size):
        for at in range(start, end, _BLOCK):
            total.update(file.read(at, min(_BLOCK, end - at)))
    return total.digest()


def _hashed(image: PeImage, size: int) -> list[tuple[int, int]]:
    """Ranges of the file, in the order in which they are hashed."""
    if not image.table_at or not image.checksum_at + 4 <= image.table_at <= image.table_at + 8 <= image.headers <= size:
        raise FormatError("its headers leave no room for a signature")
    ranges = [
        (0, image.checksum_at),
        (image.checksum_at + 4, image.table_at),
        (image.table_at + 8, image.headers),
    ]
    hashed = image.headers
    for section in sorted(image.sections, key=lambda s: s.offset):
        if not section.stored:
            continue
        if section.offset + section.stored > size:
            raise FormatError(f"{section.name} is cut off")
        ranges.append((section.offset, section.offset + section.stored))
        hashed += section.stored
    table = image.table[1]
    if hashed + table > size:
        raise FormatError("its sections overlap, or reach into its signatures")
    # What follows the sections, without the table, which is the last of it.
    ranges.append((hashed, size - table))
    if table and image.table[0] + table != size:
        raise FormatError("something follows its signatures")
    return ranges


def signed_digest(signed: SignedData) -> tuple[str, bytes]:
    """The hash's name and the digest that a signature is about. Raises FormatError where it is no Authenticode
    signature."""
    if signed.content_type != der.oid_value(INDIRECT_DATA) or signed.content is None:
        raise FormatError("the signature is not about a program")
    fields = der.split(signed.content)
    digest = der.split(fields[1].value) if len(fields) == 2 else []
    algorithm = der.split(digest[0].value) if len(digest) == 2 else []
    if not algorithm or digest[1].tag != der.OCTETS:
        raise FormatError("the signature says no digest")
    for dotted, name in DIGESTS.items():
        if algorithm[0].value == der.oid_value(dotted):
            return name, digest[1].value
    raise FormatError("the signature is about a digest that is not known")


def checksum(data: bytes, checksum_at: int) -> int:
    """The checksum of a program's optional header, over the whole file with its own four bytes as zeros (Microsoft
    "PE Format"; the algorithm is ImageHlp's: words of 16 bits with their carries, and the file's length)."""
    without = b"".join((data[:checksum_at], bytes(4), data[checksum_at + 4 :]))
    # A sum with carries is a remainder: 2 to the 16 leaves 1 when it is divided by 0xFFFF.
    total = int.from_bytes(without, "little") % 0xFFFF
    return (total or 0xFFFF) + len(data)

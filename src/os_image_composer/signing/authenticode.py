"""Signing EFI programs.

Source: Microsoft "Windows Authenticode Portable Executable Signature Format" and "PE Format" (attribute certificate
table). Reading such signatures is in `formats.authenticode`.
"""

from __future__ import annotations

import hashlib
import struct

from os_image_composer.errors import SigningError
from os_image_composer.formats import der
from os_image_composer.formats.authenticode import INDIRECT_DATA, PE_IMAGE_DATA, checksum, image_digest
from os_image_composer.formats.pe import parse_pe
from os_image_composer.formats.window import FormatError, Window
from os_image_composer.signing.cms import signed_content
from os_image_composer.signing.signer import SHA256, Signer

_ALIGNMENT = 8
_REVISION_2, _PKCS_SIGNED_DATA = 0x0200, 0x0002
# What stands where the structure has a file's name (SpcLink); every signer writes these words.
_OBSOLETE = "<<<Obsolete>>>".encode("utf-16-be")


def signed_program(program: bytes, signer: Signer, what: str) -> bytes:
    """`program` with one more signature; those that it has stay. Raises SigningError `not-signable` where `what` is no
    EFI program that can be signed."""
    try:
        image = parse_pe(Window.of(program))
        if not image.table[1]:
            program += bytes(-len(program) % _ALIGNMENT)
        digest = image_digest(image, Window.of(program))
    except FormatError as error:
        raise SigningError("not-signable", f"{what} cannot be signed", cause=str(error)) from error
    content = _indirect_data(digest)
    value = der.only(content, der.SEQUENCE)
    blob = signed_content(INDIRECT_DATA, hashlib.sha256(value).digest(), signer, content)
    blob += bytes(-(8 + len(blob)) % _ALIGNMENT)
    entry = struct.pack("<IHH", 8 + len(blob), _REVISION_2, _PKCS_SIGNED_DATA) + blob
    start, size = image.table if image.table[1] else (len(program), 0)
    if size % _ALIGNMENT:
        raise SigningError("not-signable", f"{what} cannot be signed", cause="its certificate table ends unaligned")
    signed = bytearray(program + entry)
    struct.pack_into("<II", signed, image.table_at, start, size + len(entry))
    struct.pack_into("<I", signed, image.checksum_at, checksum(bytes(signed), image.checksum_at))
    return bytes(signed)


def _indirect_data(digest: bytes) -> bytes:
    """SpcIndirectDataContent: `digest` is the SHA-256 of a program."""
    link = der.item(der.CONTEXT_2, der.item(0x80, _OBSOLETE))
    data = der.sequence(der.item(der.BIT_STRING, b"\0"), der.item(der.CONTEXT_0, link))
    about = der.sequence(der.oid(PE_IMAGE_DATA), data)
    return der.sequence(about, der.sequence(SHA256, der.item(der.OCTETS, digest)))

"""EFI programs made byte by byte."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

from support.small_images import made


def efi_program(
    sections: dict[str, bytes],
    move: Callable[[str, int], int] = lambda name, address: address,
    certificate: bytes = b"",
) -> bytes:
    """A PE32+ file with `sections` one after the other; `move` may misplace one in memory. `certificate` is a PKCS #7
    blob for its certificate table."""
    count, align = len(sections), 0x1000
    optional_size = 112 + 16 * 8
    table_at = 0x40 + 24 + optional_size
    offset = (table_at + 40 * count + 511) // 512 * 512
    rows, body, address = b"", b"", align
    for name, data in sections.items():
        padded = data + bytes(-len(data) % 512)
        where = move(name, address)
        rows += struct.pack("<8sIIII16x", name.encode(), len(data), where, len(padded), offset + len(body))
        body += padded
        address += -(-len(data) // align) * align
    optional = bytearray(struct.pack("<H30xI20xI", 0x20B, align, address).ljust(optional_size, b"\0"))
    struct.pack_into("<I", optional, 60, offset)  # SizeOfHeaders
    struct.pack_into("<I", optional, 108, 16)
    table = b""
    if certificate:
        padded = certificate + bytes(-len(certificate) % 8)
        table = struct.pack("<IHH", 8 + len(padded), 0x200, 2) + padded
        struct.pack_into("<II", optional, 112 + 4 * 8, offset + len(body), len(table))
    dos = b"MZ".ljust(0x3C, b"\0") + struct.pack("<I", 0x40)
    coff = b"PE\0\0" + struct.pack("<HH12xH2x", 0x8664, count, len(optional))
    return (dos + coff + optional + rows).ljust(offset, b"\0") + body + table


def signature_blob(folder: Path) -> bytes:
    """A PKCS #7 signature by a key that is made here and thrown away."""
    key, certificate, text = folder / "key.pem", folder / "certificate.pem", folder / "text"
    subject = "/O=Sample Works/CN=Sample Signer ä"
    made(
        *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-utf8"),
        *("-days", "2", "-subj", subject, "-keyout", str(key), "-out", str(certificate)),
    )
    text.write_bytes(b"signed")
    return made(
        *("openssl", "smime", "-sign", "-binary", "-in", str(text), "-signer", str(certificate), "-inkey", str(key)),
        *("-outform", "DER"),
    ).stdout

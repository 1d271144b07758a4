"""PKCS #7 and CMS SignedData: what is signed, by whom, over which bytes.

Source: RFC 2315 §9, RFC 5652 §5 (SignedData, SignerInfo; both forms are read) and RFC 5280 §4.1 (Certificate). This
says what is written there; whether a signature is valid is for `signing.verifying` to say.
"""

from __future__ import annotations

from dataclasses import dataclass

from os_image_composer.formats import der
from os_image_composer.formats.window import FormatError

SIGNED_DATA = "1.2.840.113549.1.7.2"
DATA = "1.2.840.113549.1.7.1"
CONTENT_TYPE = "1.2.840.113549.1.9.3"
MESSAGE_DIGEST = "1.2.840.113549.1.9.4"
DIGESTS = {
    "2.16.840.1.101.3.4.2.1": "sha256",
    "2.16.840.1.101.3.4.2.2": "sha384",
    "2.16.840.1.101.3.4.2.3": "sha512",
    "1.3.14.3.2.26": "sha1",
}
_NAME_PARTS = {der.oid_value("2.5.4.3"): "CN", der.oid_value("2.5.4.10"): "O", der.oid_value("2.5.4.11"): "OU"}
_BY_VALUE = {der.oid_value(dotted): name for dotted, name in DIGESTS.items()}
_MOST_CERTIFICATES = 64


@dataclass(frozen=True)
class Certificate:
    """As far as a signature refers to it; `issuer` and `subject` are DER names, `whole` the certificate."""

    issuer: bytes
    serial: bytes
    subject: bytes
    whole: bytes


@dataclass(frozen=True)
class SignerInfo:
    """One signer. `certificate` is None where it is not included; `digest` names the hash, empty where it is not
    known. `attributes` are the signed attributes as they are signed (a SET), None where there are none; then the
    signature is over the content itself. `message_digest` is what the attributes say of the content."""

    name: str
    certificate: Certificate | None
    digest: str
    attributes: bytes | None
    content_type: bytes | None
    message_digest: bytes | None
    signature: bytes


@dataclass(frozen=True)
class SignedData:
    """`content_type` is the contents of an object identifier; `content` are the contents' octets that are hashed, None
    for a detached signature."""

    content_type: bytes
    content: bytes | None
    certificates: tuple[Certificate, ...]
    signers: tuple[SignerInfo, ...]


def parse_signed_data(blob: bytes) -> SignedData:
    """A SignedData, inside a ContentInfo or bare, as signed UEFI variables have it. Raises FormatError."""
    outer = der.split(der.only(blob, der.SEQUENCE))
    if outer and outer[0].tag == der.OID:
        if len(outer) < 2 or outer[0].value != der.oid_value(SIGNED_DATA) or outer[1].tag != der.CONTEXT_0:
            raise FormatError("no PKCS #7 signed data")
        outer = der.split(der.only(outer[1].value, der.SEQUENCE))
    if len(outer) < 4 or outer[0].tag != der.INTEGER or outer[2].tag != der.SEQUENCE:
        raise FormatError("no PKCS #7 signed data")
    certificates: list[Certificate] = []
    for field in outer[3:]:
        if field.tag == der.CONTEXT_0:
            certificates += [_certificate(one) for one in der.split(field.value)]
    if outer[-1].tag != der.SET:
        raise FormatError("no signers in PKCS #7 signed data")
    if len(certificates) > _MOST_CERTIFICATES:
        raise FormatError(f"{len(certificates)} certificates in one signature")
    content_type, content = _content(outer[2].value)
    signers = tuple(_signer(info, certificates) for info in der.split(outer[-1].value))
    return SignedData(content_type, content, tuple(certificates), signers)


def signer_names(blob: bytes) -> tuple[str, ...]:
    """The subject of each signer's certificate (`CN=…, O=…`), or its issuer and serial number where the certificate
    is not included. Raises FormatError where `blob` is no SignedData."""
    return tuple(signer.name for signer in parse_signed_data(blob).signers)


def _content(info: bytes) -> tuple[bytes, bytes | None]:
    fields = der.split(info)
    if not fields or fields[0].tag != der.OID:
        raise FormatError("signed data of no type")
    if len(fields) < 2:
        return fields[0].value, None
    # An OCTET STRING in CMS, anything at all in PKCS #7: what is hashed are its contents, without tag and length.
    inner = der.split(fields[1].value)
    if fields[1].tag != der.CONTEXT_0 or len(inner) != 1:
        raise FormatError("signed data without its content")
    return fields[0].value, inner[0].value


def _signer(info: der.Item, certificates: list[Certificate]) -> SignerInfo:
    parts = der.split(info.value)
    if len(parts) < 5:
        raise FormatError("a signer is not whole")
    who = der.split(parts[1].value)
    certificate, name = None, f"key id {parts[1].value.hex()}"
    if parts[1].tag == der.SEQUENCE and len(who) == 2:
        issuer, serial = who[0].whole, who[1].value
        certificate = next((c for c in certificates if (c.issuer, c.serial) == (issuer, serial)), None)
        name = subject_name(certificate.subject) if certificate else f"serial {serial.hex()} of {subject_name(issuer)}"
    algorithm = der.split(parts[2].value)
    signed = parts[3] if parts[3].tag == der.CONTEXT_0 else None
    rest = parts[4:] if signed else parts[3:]
    if len(rest) < 2 or rest[1].tag != der.OCTETS:
        raise FormatError("a signer has no signature")
    attributes = _attributes(signed.value) if signed else {}
    return SignerInfo(
        name=name,
        certificate=certificate,
        digest=_BY_VALUE.get(algorithm[0].value, "") if algorithm else "",
        # What is signed has the tag of a SET in place of the one that it has here (RFC 5652 §5.4).
        attributes=der.item(der.SET, signed.value) if signed else None,
        content_type=attributes.get(der.oid_value(CONTENT_TYPE)),
        message_digest=attributes.get(der.oid_value(MESSAGE_DIGEST)),
        signature=rest[1].value,
    )


def _attributes(data: bytes) -> dict[bytes, bytes]:
    """Those with one value, by type; one that is there twice is refused, as which of them counts is not said."""
    found: dict[bytes, bytes] = {}
    for attribute in der.split(data):
        fields = der.split(attribute.value)
        if len(fields) != 2 or fields[0].tag != der.OID or fields[0].value in found:
            raise FormatError("a signed attribute is damaged")
        values = der.split(fields[1].value)
        if len(values) == 1:
            found[fields[0].value] = values[0].value
    return found


def _certificate(one: der.Item) -> Certificate:
    inside = der.split(one.value)
    fields = der.split(inside[0].value) if one.tag == der.SEQUENCE and inside else []
    fields = fields[1:] if fields and fields[0].tag == der.CONTEXT_0 else fields
    if len(fields) < 5 or fields[0].tag != der.INTEGER:
        raise FormatError("a certificate is damaged")
    return Certificate(fields[2].whole, fields[0].value, fields[4].whole, one.whole)


def subject_name(data: bytes) -> str:
    """A DER name for a reader: its common name and organization. Raises FormatError."""
    shown = []
    for relative in der.split(der.only(data, der.SEQUENCE)):
        for pair in der.split(relative.value):
            parts = der.split(pair.value)
            if len(parts) == 2 and parts[0].value in _NAME_PARTS:
                wide = parts[1].tag == der.BMP
                text = parts[1].value.decode("utf-16-be" if wide else "utf-8", "replace")
                shown.append(f"{_NAME_PARTS[parts[0].value]}={text}")
    return ", ".join(shown) or "an unnamed signer"

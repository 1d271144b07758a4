"""Making SignedData: the form that Authenticode, signed UEFI variables and detached signatures of files share.

Source: RFC 5652 §5, RFC 2315 §9. There is no signing time in it, so the same key gives the same bits as far as its
algorithm does (RSA with PKCS #1 v1.5 does; ECDSA has a random part).
"""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from os_image_composer.formats import der
from os_image_composer.formats.signed_data import CONTENT_TYPE, DATA, MESSAGE_DIGEST, SIGNED_DATA
from os_image_composer.signing.signer import SHA256, Signer, algorithm_of


def signed_content(content_type: str, digest: bytes, signer: Signer, content: bytes | None = None) -> bytes:
    """A ContentInfo with the SignedData of a content whose SHA-256 is `digest`; `content` is its DER, None for a
    detached signature."""
    attributes = der.set_of(
        der.sequence(der.oid(CONTENT_TYPE), der.set_of(der.oid(content_type))),
        der.sequence(der.oid(MESSAGE_DIGEST), der.set_of(der.item(der.OCTETS, digest))),
    )
    inside = (der.item(der.CONTEXT_0, content),) if content is not None else ()
    encapsulated = der.sequence(der.oid(content_type), *inside)
    # The same attributes with the tag that they have here in place of a SET's.
    kept = bytes((der.CONTEXT_0,)) + attributes[1:]
    data = _signed_data(encapsulated, signer, (kept,), signer.sign(attributes))
    return der.sequence(der.oid(SIGNED_DATA), der.item(der.CONTEXT_0, data))


def signed_bytes(message: bytes, signer: Signer) -> bytes:
    """A bare SignedData over `message`, which is not in it, and without signed attributes: the form of UEFI variables
    (UEFI specification §8.2.2)."""
    return _signed_data(der.sequence(der.oid(DATA)), signer, (), signer.sign(message))


def _signed_data(encapsulated: bytes, signer: Signer, attributes: tuple[bytes, ...], signature: bytes) -> bytes:
    certificate = signer.certificate
    who = der.sequence(certificate.issuer.public_bytes(), der.integer(certificate.serial_number))
    info = der.sequence(
        der.integer(1), who, SHA256, *attributes, algorithm_of(certificate), der.item(der.OCTETS, signature)
    )
    return der.sequence(
        der.integer(1),
        der.set_of(SHA256),
        encapsulated,
        der.item(der.CONTEXT_0, _whole(certificate)),
        der.set_of(info),
    )


def _whole(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)

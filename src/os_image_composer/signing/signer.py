"""Who signs: one interface for every place that a private key may be in."""

from __future__ import annotations

from typing import Protocol

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from os_image_composer.formats import der

SHA256 = der.sequence(der.oid("2.16.840.1.101.3.4.2.1"), der.item(der.NULL))
_RSA = der.sequence(der.oid("1.2.840.113549.1.1.1"), der.item(der.NULL))
_ECDSA_SHA256 = der.sequence(der.oid("1.2.840.10045.4.3.2"))


class Signer(Protocol):
    """A private key, wherever it is, and its certificate.

    `sign` gives the signature over `message` (a few hundred bytes, never a file), hashed with SHA-256: PKCS #1 v1.5 for
    RSA, a DER ECDSA-Sig-Value for elliptic curves. Raises SigningError.
    """

    @property
    def certificate(self) -> x509.Certificate: ...

    def sign(self, message: bytes) -> bytes: ...


def algorithm_of(certificate: x509.Certificate) -> bytes:
    """The AlgorithmIdentifier of signatures by this certificate's key (RFC 5652 §10.1.2, RFC 5754 §3). Raises
    ValueError for a kind of key that is not used here."""
    key = certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        return _RSA
    if isinstance(key, ec.EllipticCurvePublicKey):
        return _ECDSA_SHA256
    raise ValueError("its key is neither RSA nor of an elliptic curve")

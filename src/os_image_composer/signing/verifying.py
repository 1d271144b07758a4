"""Whether a signature holds: over which digest, by whose key, under which certificate that somebody trusts."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from os_image_composer.formats.signed_data import SignedData, SignerInfo
from os_image_composer.formats.window import FormatError

_DEEPEST = 8
# SHA-1 is in signatures that vendors made long ago; no firmware in use takes it for a program.
_HASHES: dict[str, hashes.HashAlgorithm] = {
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}


class SignatureError(ValueError):
    """A signature that does not hold, with the reason in words."""


def signer_of(signed: SignedData, signer: SignerInfo, message: bytes | None, digest: bytes | None) -> x509.Certificate:
    """The certificate whose key made this signature. The content is given as `message`, or, where there are signed
    attributes, as the digest of it that they must name. Raises SignatureError."""
    if signer.certificate is None:
        raise SignatureError(f"the certificate of {signer.name} is not in it")
    algorithm = _HASHES.get(signer.digest)
    if algorithm is None:
        raise SignatureError(f"its hash is {signer.digest or 'not known'}, which is not accepted")
    if signer.attributes is None:
        if message is None:
            raise SignatureError("it says nothing of what it is about")
        over = message
    else:
        if digest is None:
            digest = hashlib.new(signer.digest, message or b"").digest()
        if signer.content_type != signed.content_type or signer.message_digest != digest:
            raise SignatureError("it is about other bytes")
        over = signer.attributes
    certificate = _loaded(signer.certificate.whole)
    key = certificate.public_key()
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(signer.signature, over, padding.PKCS1v15(), algorithm)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signer.signature, over, ec.ECDSA(algorithm))
        else:
            raise SignatureError("its key is neither RSA nor of an elliptic curve")
    except InvalidSignature:
        raise SignatureError(f"the signature of {signer.name} is not valid") from None
    return certificate


def trusted_by(
    certificate: x509.Certificate, included: Iterable[bytes], trusted: Sequence[x509.Certificate]
) -> x509.Certificate | None:
    """The one of `trusted` that `certificate` is, or that it leads to over certificates that are `included` (DER).
    As a firmware does it, no dates are looked at (UEFI specification §32.4.1)."""
    pool = [*trusted]
    for whole in included:
        try:
            pool.append(_loaded(whole))
        except SignatureError:
            continue
    current = certificate
    for _ in range(_DEEPEST):
        if current in trusted:
            return current
        issuer = next((c for c in pool if c != current and _issued(current, c)), None)
        if issuer is None:
            return None
        current = issuer
    return None


def _issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
        constraints = issuer.extensions.get_extension_for_class(x509.BasicConstraints).value
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm, x509.ExtensionNotFound):
        return False
    return constraints.ca


def _loaded(whole: bytes) -> x509.Certificate:
    try:
        certificate = x509.load_der_x509_certificate(whole)
        certificate.public_key()
    except (ValueError, UnsupportedAlgorithm, FormatError) as error:
        raise SignatureError(f"a certificate is damaged: {str(error).splitlines()[0]}") from error
    return certificate

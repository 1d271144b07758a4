"""Whether the signatures of EFI programs hold: the program is hashed as a firmware does it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cryptography import x509

from os_image_composer.formats.authenticode import image_digest, signed_digest
from os_image_composer.formats.pe import PeImage
from os_image_composer.formats.signed_data import SignedData, parse_signed_data
from os_image_composer.formats.window import FormatError, Window
from os_image_composer.signing.verifying import SignatureError, signer_of, trusted_by


@dataclass(frozen=True)
class FoundSignature:
    """`name` says who signed. `fault` is why the signature does not hold, None where it does: then `certificate` is the
    signer's. `included` are the certificates beside it, DER."""

    name: str
    fault: str | None
    certificate: x509.Certificate | None = None
    included: tuple[bytes, ...] = ()


def program_signatures(image: PeImage, file: Window) -> tuple[FoundSignature, ...]:
    """Each signer of each signature; whether somebody trusts them is for `trusted_signer`."""
    return tuple(found for blob in image.certificates for found in _signatures(blob, image, file))


def trusted_signer(found: Sequence[FoundSignature], db: Sequence[x509.Certificate]) -> FoundSignature | None:
    """The first signature that holds and that leads to a certificate of `db`."""
    for one in found:
        if one.certificate is not None and trusted_by(one.certificate, one.included, db) is not None:
            return one
    return None


def _signatures(blob: bytes, image: PeImage, file: Window) -> Iterator[FoundSignature]:
    try:
        signed = parse_signed_data(blob)
        fault = _other_program(signed, image, file)
    except FormatError as error:
        yield FoundSignature("unreadable signature", str(error))
        return
    if not signed.signers:
        yield FoundSignature("nobody", "it has no signer")
    included = tuple(certificate.whole for certificate in signed.certificates)
    for signer in signed.signers:
        try:
            certificate = signer_of(signed, signer, signed.content, None)
        except SignatureError as error:
            yield FoundSignature(signer.name, str(error))
        else:
            yield FoundSignature(signer.name, fault, None if fault else certificate, included)


def _other_program(signed: SignedData, image: PeImage, file: Window) -> str | None:
    name, digest = signed_digest(signed)
    if name == "sha1":
        return "it is about a SHA-1 digest, which no firmware should take"
    return None if image_digest(image, file, name) == digest else "the program was changed after it was signed"

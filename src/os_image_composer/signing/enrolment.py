"""What a machine is given so that it starts what these keys signed: PK, KEK and db in the forms that firmware and
tools read.

Source: UEFI specification §32.3 (PK signs updates of PK and KEK, KEK those of db).
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from os_image_composer.formats.uefi_keys import signature_list, signed_update, update_message
from os_image_composer.signing.cms import signed_bytes
from os_image_composer.signing.key_files import sha256
from os_image_composer.signing.signer import Signer

VARIABLES = ("PK", "KEK", "db")
_OWNER = uuid.UUID("6f0e7b0c-3d0f-5f57-9a39-6f3f0b8f7a51")  # of this project, for owners alone


@dataclass(frozen=True)
class PlatformKeys:
    """Who signs what: the platform key, the key exchange key, and the key that signs programs. One may be all three.
    `trusted` are further certificates for db."""

    pk: Signer
    kek: Signer
    db: Signer
    trusted: tuple[x509.Certificate, ...] = ()


def enrolment(keys: PlatformKeys, seconds: int) -> Mapping[str, bytes]:
    """Files by name: for each variable its list (`.esl`), its signed update (`.auth`) dated `seconds` since the epoch,
    and its own certificate (`.der`). The same keys and date give the same bytes with RSA."""
    owner = uuid.uuid5(_OWNER, sha256(keys.pk.certificate))
    contents: dict[str, tuple[Sequence[x509.Certificate], Signer]] = {
        "PK": ([keys.pk.certificate], keys.pk),
        "KEK": ([keys.kek.certificate], keys.pk),
        "db": ([keys.db.certificate, *keys.trusted], keys.kek),
    }
    files: dict[str, bytes] = {}
    for name in VARIABLES:
        certificates, signer = contents[name]
        wholes = dict.fromkeys(c.public_bytes(Encoding.DER) for c in certificates)
        lists = b"".join(signature_list(whole, owner) for whole in wholes)
        signature = signed_bytes(update_message(name, lists, seconds), signer)
        files[f"{name}.esl"] = lists
        files[f"{name}.auth"] = signed_update(lists, seconds, signature)
        files[f"{name}.der"] = next(iter(wholes))
    return files

"""OpenPGP: who signed a document, and exactly what they signed (RFC 9580; cleartext framework: section 7).

Only certificates whose primary fingerprint is pinned ever reach the verifier, so no other key can make anything
valid, whatever the keyring file holds. One valid signature is required; signatures of keys that are not pinned are
recorded and are no error (a Debian release is signed by the keys of several generations).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pysequoia
from pysequoia.packet import HashAlgorithm, Packet, PacketPile, Tag

from os_image_composer.errors import TrustError

_STRONG = (
    HashAlgorithm.SHA256,
    HashAlgorithm.SHA384,
    HashAlgorithm.SHA512,
    HashAlgorithm.SHA3_256,
    HashAlgorithm.SHA3_512,
)
_Store = Callable[[list[str]], list[pysequoia.Cert]]  # gives the verifier its certificates
_Verifier = Callable[[_Store], pysequoia.Decrypted]
_CLEARTEXT = b"-----BEGIN PGP SIGNED MESSAGE-----"
_SIGNATURE = b"-----BEGIN PGP SIGNATURE-----"
_END = b"-----END PGP SIGNATURE-----"


@dataclass(frozen=True)
class Signed:
    """What is covered by a valid signature. `signers` are fingerprints in lower case: the accepted pinned primary
    keys first, then the issuers that are not pinned, as the signatures name them."""

    text: bytes
    signers: tuple[str, ...]


@dataclass(frozen=True)
class Keyring:
    """The pinned certificates that were found; `repository` is whose they are, as the settings name it. With `files`
    nothing was pinned: all of these files' certificates count."""

    certificates: tuple[pysequoia.Cert, ...]
    fingerprints: tuple[str, ...]
    repository: str = ""
    files: tuple[Path, ...] = ()


def load_keyring(what: str, fingerprints: Sequence[str], files: Sequence[Path], now: float) -> Keyring:
    """The certificates of `files` whose primary fingerprint is pinned, without revoked and expired ones (`now` is
    in seconds since the epoch). Raises TrustError `key-not-found`, `key-revoked`, `key-expired`."""
    pinned = {f.lower().replace(" ", "") for f in fingerprints}
    found = _merged(c for file in files for c in _certificates(file) if c.fingerprint in pinned)
    if not found:
        raise TrustError(
            "key-not-found",
            f"none of the keys pinned for {what} was found",
            cause=f"looked for {', '.join(sorted(pinned)) or 'none: no fingerprint is pinned'} in "
            f"{', '.join(map(str, files)) or 'no file'}",
            hint="install the distribution's archive keyring package, or name a keyring file in the settings: "
            f"`repositories: {{{what.partition('/')[0]}: {{keyring: FILE}}}}`",
        )
    return Keyring(_usable(found, now, what), tuple(sorted(pinned)), what.partition("/")[0])


def keyring_of(files: Sequence[Path], now: float) -> Keyring:
    """All certificates of `files`, which whoever named them trusts as they are. Raises as `load_keyring`, and where
    one of the files has none."""
    read = {file: _certificates(file) for file in files}
    for file, certificates in read.items():
        if not certificates:
            raise TrustError(
                "key-not-found",
                f"no OpenPGP certificate was found in {file}",
                cause=None if file.exists() else "there is no such file",
                hint="name the file that has the public key",
            )
    found = _merged(certificate for certificates in read.values() for certificate in certificates)
    return Keyring(_usable(found, now, "these signatures", files), tuple(sorted(found)), files=tuple(files))


def _merged(certificates: Iterable[pysequoia.Cert]) -> dict[str, pysequoia.Cert]:
    """By fingerprint, each with all that is said of it."""
    found: dict[str, pysequoia.Cert] = {}
    for certificate in certificates:
        known = found.get(certificate.fingerprint)
        found[certificate.fingerprint] = known.merge(certificate) if known else certificate
    return found


def _usable(
    found: Mapping[str, pysequoia.Cert], now: float, what: str, files: Sequence[Path] = ()
) -> tuple[pysequoia.Cert, ...]:
    """Those neither revoked nor expired. `files` are named where nothing was pinned."""
    try:
        usable = [c for c in found.values() if not c.is_revoked and not _expired(c, now)]
    except Exception as error:  # a certificate that its own key never signed
        raise TrustError("key-unreadable", f"the keys of {what} cannot be used", cause=_first_line(error)) from error
    if not usable:
        revoked = all(c.is_revoked for c in found.values())
        raise TrustError(
            "key-revoked" if revoked else "key-expired",
            f"no usable key for {what}: {', '.join(sorted(found))} {'was revoked' if revoked else 'has expired'}",
            hint=f"ask whoever signs for a newer certificate than that in {_listed(files)}"
            if files
            else "update the archive keyring package of the build host, or name a newer keyring file in the settings",
        )
    return tuple(usable)


def holds_certificates(data: bytes) -> bool:
    """Whether these bytes are OpenPGP certificates, at least one."""
    try:
        return bool(list(pysequoia.Cert.split_bytes(data)))
    except Exception:  # pysequoia raises plain exceptions
        return False


def _certificates(file: Path) -> list[pysequoia.Cert]:
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise TrustError("key-unreadable", f"cannot read the keyring {file}", cause=error.strerror) from error
    try:
        return list(pysequoia.Cert.split_bytes(data))
    except Exception as error:  # pysequoia raises plain exceptions with a backtrace behind the first line
        raise TrustError("key-unreadable", f"{file} is not an OpenPGP keyring", cause=_first_line(error)) from error


def _expired(certificate: pysequoia.Cert, now: float) -> bool:
    expiration = certificate.expiration
    return expiration is not None and expiration <= datetime.fromtimestamp(now, UTC)


def verify_cleartext(document: bytes, what: str, keyring: Keyring) -> Signed:
    """The text that a pinned key signed. Raises TrustError `not-signed`, `unknown-signer`, `bad-signature`."""
    head, separator, rest = document.partition(_SIGNATURE)
    tail = rest.partition(_END)
    if not head.lstrip(b"\n").startswith(_CLEARTEXT) or not separator or not tail[1]:
        raise TrustError("not-signed", f"{what} is not a signed document", cause="no cleartext signature in it")
    if head.count(_CLEARTEXT) != 1 or tail[2].strip():
        raise TrustError("bad-signature", f"{what} holds more than one signed document")
    issuers = _issuers(separator + rest, what, keyring)
    text, signers = _verify(what, issuers, keyring, lambda store: pysequoia.verify(bytes=document, store=store))
    if text is None:
        raise TrustError("bad-signature", f"{what}: the verifier gave no text")
    return Signed(text, signers)


def verify_detached(data: bytes, signature: bytes, what: str, keyring: Keyring) -> Signed:
    """`data`, when one of the detached signatures over it is a pinned key's. Raises as `verify_cleartext`."""
    return Signed(data, _verify_each(signature, what, keyring, functools.partial(_verify_bytes, data)))


def verify_file(file: Path, signature: bytes, what: str, keyring: Keyring) -> tuple[str, ...]:
    """The signers, as in `Signed`, when one of the detached signatures over the file, which is not read into memory, is
    a pinned key's. Raises as `verify_cleartext`."""
    return _verify_each(signature, what, keyring, functools.partial(_verify_path, file))


def _verify_each(
    signature: bytes, what: str, keyring: Keyring, run: Callable[[pysequoia.Sig, _Store], pysequoia.Decrypted]
) -> tuple[str, ...]:
    issuers = _issuers(signature, what, keyring)
    try:
        parsed = [pysequoia.Sig.from_bytes(bytes(p)) for p in _signature_packets(signature)]
    except Exception as error:
        raise TrustError("bad-signature", f"the signature of {what} is malformed", cause=_first_line(error)) from error
    accepted: tuple[str, ...] = ()
    failure: TrustError | None = None
    for one in parsed:
        verifier = functools.partial(run, one)
        try:
            _, signers = _verify(what, issuers, keyring, verifier)
            accepted = accepted or signers
        except TrustError as error:
            failure = failure or error
    if not accepted:
        raise failure or TrustError("not-signed", f"{what} is not signed")
    return accepted


def _verify_bytes(data: bytes, signature: pysequoia.Sig, store: _Store) -> pysequoia.Decrypted:
    return pysequoia.verify(bytes=data, store=store, signature=signature)


def _verify_path(file: Path, signature: pysequoia.Sig, store: _Store) -> pysequoia.Decrypted:
    return pysequoia.verify(file=str(file), store=store, signature=signature)


def _verify(
    what: str, issuers: tuple[str, ...], keyring: Keyring, run: _Verifier
) -> tuple[bytes | None, tuple[str, ...]]:
    try:
        result = run(lambda _: list(keyring.certificates))
    except Exception as error:
        raise _refusal(what, issuers, keyring, _first_line(error)) from None
    accepted: list[str] = []
    own: set[str] = set()
    for valid in result.valid_sigs:
        if valid.certificate in keyring.fingerprints:
            accepted.append(valid.certificate)
            own |= {valid.certificate, valid.signing_key}
    if not accepted:
        raise _refusal(what, issuers, keyring, "no valid signature")
    others = [i for i in issuers if i not in own and not any(key.endswith(i) for key in own)]
    return result.bytes, tuple(dict.fromkeys([*accepted, *others]))


def _refusal(what: str, issuers: tuple[str, ...], keyring: Keyring, cause: str) -> TrustError:
    own = _key_ids(keyring)
    if any(issuer in own or any(key.endswith(issuer) for key in own) for issuer in issuers):
        return TrustError(
            "bad-signature",
            f"the signature of {what} is not valid",
            cause=cause,
            hint="the file was changed on the way or half of it was replaced: try again, then another mirror",
        )
    absent = sorted(set(keyring.fingerprints) - {c.fingerprint for c in keyring.certificates})
    trusted = f"{_listed(keyring.files)} has" if keyring.files else "pinned:"
    said = f"`repositories: {{{keyring.repository}: {{fingerprints: […, …], keyring: FILE}}}}`"
    return TrustError(
        "unknown-signer",
        f"{what} is not signed by a key of {_listed(keyring.files)}"
        if keyring.files
        else f"{what} is not signed by a pinned key",
        cause=f"signed by {', '.join(issuers) or 'nobody'}; {trusted} {', '.join(keyring.fingerprints)}"
        + (f"; no usable certificate was found of {', '.join(absent)}" if absent else ""),
        hint="ask the vendor, by another way than the network, whether that key is theirs; if so, pin it beside "
        f"the others in the settings file and name one file that holds all their certificates: {said}"
        if keyring.repository
        else None,
    )


def _key_ids(keyring: Keyring) -> set[str]:
    ids: set[str] = set()
    for certificate in keyring.certificates:
        for packet in PacketPile.from_bytes(bytes(certificate)):
            if packet.tag in (Tag.PublicKey, Tag.PublicSubkey) and packet.fingerprint:
                ids.add(packet.fingerprint)
    return ids


def _signature_packets(signature: bytes) -> list[Packet]:
    return [p for p in PacketPile.from_bytes(signature) if p.tag == Tag.Signature]


def _issuers(signature: bytes, what: str, keyring: Keyring) -> tuple[str, ...]:
    """Who claims to have signed; nothing is verified here but that no pinned key used a weak digest."""
    try:
        packets = [p for p in PacketPile.from_bytes(signature) if p.tag == Tag.Signature]
    except Exception as error:
        raise TrustError("bad-signature", f"the signature of {what} is malformed", cause=_first_line(error)) from error
    if packets and not any(p.hash_algorithm in _STRONG for p in packets):
        raise TrustError(
            "weak-digest",
            f"{what} is signed with a digest that is no longer safe",
            cause=", ".join(sorted({str(p.hash_algorithm) for p in packets})),
        )
    return tuple(dict.fromkeys(p.issuer_fingerprint or p.issuer_key_id or "" for p in packets))


def _listed(files: Sequence[Path]) -> str:
    return ", ".join(map(str, files))


def _first_line(error: Exception) -> str:
    return str(error).split("\n", 1)[0]

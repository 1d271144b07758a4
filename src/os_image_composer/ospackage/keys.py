"""The keys of a repository: from the settings or the host's keyring files, else from where the vendor offers them.

Where a key comes from does not matter, as only pinned fingerprints count: what an address gives is kept and is
asked for anew when the kept copy has no usable pinned key.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from os_image_composer.build.events import Listener, Note
from os_image_composer.errors import FetchError, TrustError
from os_image_composer.ospackage.cache import write_atomically
from os_image_composer.ospackage.openpgp import Keyring, load_keyring
from os_image_composer.ospackage.resolve import Repository
from os_image_composer.ospackage.retry import retried
from os_image_composer.ospackage.transport import Transport

MAX_KEYS = 1 << 20  # bytes; Debian's archive keyring has 60 kB


def bundled_key(root: Path, name: str) -> Path:
    """Where a bundle's keys of a repository are kept; `root` is the metadata cache."""
    return root / "keys" / f"bundled-{name}.pgp"


def keyring_of(
    repository: Repository, what: str, root: Path, transport: Transport, now: float, listener: Listener
) -> Keyring:
    """The pinned keys; `root` is the metadata cache, `now` is in seconds since the epoch. Raises TrustError
    `no-pinned-key` and what `load_keyring` raises, FetchError where the key's address gives nothing."""
    if not repository.fingerprints:
        at = f"; the vendor offers its key at {repository.key_url}" if repository.key_url else ""
        raise TrustError(
            "no-pinned-key",
            f"no key is pinned for {what}",
            cause=f"its vendor's fingerprint is not known to this program{at}",
            hint="ask the vendor for the fingerprint of the signing key by another way than the network, and write it "
            f"into the settings file: `repositories: {{{repository.name}: {{fingerprints: [40 hex digits]}}}}`",
        )
    kept = root / "keys" / f"{hashlib.sha256((repository.key_url or '').encode()).hexdigest()}.pgp"
    files = (*repository.keyrings, kept) if repository.key_url else repository.keyrings
    try:
        return load_keyring(what, repository.fingerprints, files, now)
    except TrustError as error:
        brought = bundled_key(root, repository.name)
        if brought.exists() and error.reference == "key-not-found":
            return load_keyring(what, repository.fingerprints, (*files, brought), now)
        if repository.key_url is None:
            raise
    url = repository.key_url

    def once() -> bytes:
        with transport.open(url, limit=MAX_KEYS) as reply:
            return b"".join(reply.chunks)

    try:
        data = retried(once, url, listener)
    except FetchError as error:
        # A mirror of the packages does not stand in for it, whoever cannot reach it.
        error.hint = (
            f"a file with the key {', '.join(repository.fingerprints)} does as well, wherever it is from: in the "
            f"settings file `repositories: {{{repository.name}: {{keyring: FILE}}}}`"
        )
        raise
    write_atomically(kept, data)
    try:
        keyring = load_keyring(what, repository.fingerprints, files, now)
    except TrustError:
        kept.unlink(missing_ok=True)
        raise
    listener(Note("info", f"{what}: key {', '.join(c.fingerprint for c in keyring.certificates)} from {url}"))
    return keyring

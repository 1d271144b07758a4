"""Password hashes, made once and kept beside the lock.

A plain password of the template is hashed with a random salt when it is first seen; the hash lies in a file of mode
0600 and is used again as long as the password verifies against it. A user has as many hashes there as passwords (of
several templates with one image name, or of one that goes back and forth). Steps carry the hash's SHA-256 only.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from os_image_composer.build.flock import locked
from os_image_composer.config.spec import Secret, User
from os_image_composer.provider.password_hash import PREFIXES, CryptLibrary

# Of one user; verifying costs a tenth of a second for each.
_KEPT = 16


@dataclass(frozen=True)
class PasswordHashes:
    """`digest_of` by user name; `hashes` by that digest, for the step that sets them."""

    digest_of: dict[str, str]
    hashes: dict[str, str]


def hash_passwords(users: Iterable[User], path: Path) -> PasswordHashes:
    """The hash of every user that has a password, from the file at `path` or made now and written there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Two builds at once must not set two hashes, of which one is forgotten.
    with locked(path.with_suffix(".secrets-lock")):
        return _hash_passwords(users, path)


def _hash_passwords(users: Iterable[User], path: Path) -> PasswordHashes:
    kept = _read(path)
    after = {name: list(texts) for name, texts in kept.items()}
    now: dict[str, str] = {}
    for user in users:
        if user.password_hash is not None:
            now[user.name] = user.password_hash.reveal()
        elif user.password is not None:
            text = _hash_of(user.password, user.hash_algo, kept.get(user.name, []))
            now[user.name] = text
            others = [other for other in kept.get(user.name, []) if other != text]
            after[user.name] = [text, *others][:_KEPT]
    if after != kept:
        _write(path, after)
    digests = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in now.items()}
    return PasswordHashes(digests, {digests[name]: text for name, text in now.items()})


def _hash_of(password: Secret, algorithm: str, kept: Iterable[str]) -> str:
    """The hash of `password` among those kept, or a new one."""
    library = CryptLibrary()
    for text in kept:
        if text.startswith(PREFIXES[algorithm]) and library.verifies(password.reveal(), text):
            return text
    return library.hash(password.reveal(), algorithm)


def _read(path: Path) -> dict[str, list[str]]:
    """Hashes by user, the last used first."""
    try:
        value = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    kept = value.items() if isinstance(value, dict) else ()
    return {name: [text for text in texts if isinstance(text, str)] for name, texts in kept if isinstance(texts, list)}


def _write(path: Path, hashes: dict[str, list[str]]) -> None:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        json.dump(hashes, stream, indent=1, sort_keys=True)
    temporary.replace(path)

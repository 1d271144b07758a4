"""Password hashes, made once and kept beside the lock.

A plain password of the template is hashed with a random salt when it is first seen; the hash lies in a file of mode
0600 and is used again as long as the password verifies against it. Steps carry the hash's SHA-256 only.
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
    now = {user.name: text for user in users if (text := _hash_of(user, kept.get(user.name))) is not None}
    if any(kept.get(name) != text for name, text in now.items()):
        _write(path, {**kept, **now})
    digests = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in now.items()}
    return PasswordHashes(digests, {digests[name]: text for name, text in now.items()})


def _hash_of(user: User, kept: str | None) -> str | None:
    if user.password_hash is not None:
        return user.password_hash.reveal()
    if user.password is None:
        return None
    return kept if kept is not None and _verifies(user.password, kept) else _hash(user.password)


def _hash(password: Secret) -> str:
    """SHA-512 crypt(5), which every target's login reads."""
    from passlib.hash import sha512_crypt

    return str(sha512_crypt.using(rounds=100_000).hash(password.reveal()))


def _verifies(password: Secret, text: str) -> bool:
    from passlib.hash import sha512_crypt

    return bool(sha512_crypt.identify(text) and sha512_crypt.verify(password.reveal(), text))


def _read(path: Path) -> dict[str, str]:
    try:
        value = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return {str(k): str(v) for k, v in value.items()} if isinstance(value, dict) else {}


def _write(path: Path, hashes: dict[str, str]) -> None:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        json.dump(hashes, stream, indent=1, sort_keys=True)
    temporary.replace(path)

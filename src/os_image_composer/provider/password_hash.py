"""Password hashes as crypt(5) text, made and verified by the host's libcrypt (libxcrypt, crypt(3)).

The library is called in this process, so a password never stands on a command line.
"""

from __future__ import annotations

import ctypes
import secrets
from collections.abc import Iterable

from os_image_composer.errors import UsageError

__all__ = ["PREFIXES", "CryptLibrary"]

#: By the template's `hash_algo`: the prefix of crypt(5), and what crypt_gensalt(3) takes as the cost.
PREFIXES = {"sha512": "$6$", "sha256": "$5$", "bcrypt": "$2b$", "yescrypt": "$y$"}
_COSTS = {"sha512": 100_000, "sha256": 100_000, "bcrypt": 12, "yescrypt": 5}

_LIBRARIES = ("libcrypt.so.1", "libcrypt.so.2")
# crypt.h of libxcrypt: the size of struct crypt_data, and CRYPT_GENSALT_OUTPUT_SIZE.
_DATA_SIZE = 32_768
_SETTING_SIZE = 192
_RANDOM_BYTES = 32


class CryptLibrary:
    """The host's libcrypt. Raises UsageError `no-crypt-library` when there is none that knows all methods."""

    def __init__(self, names: Iterable[str] = _LIBRARIES) -> None:
        library = _load(names)
        self._gensalt = library.crypt_gensalt_rn
        self._gensalt.restype = ctypes.c_char_p
        self._gensalt.argtypes = (
            *(ctypes.c_char_p, ctypes.c_ulong),
            *(ctypes.c_char_p, ctypes.c_int),
            *(ctypes.c_char_p, ctypes.c_int),
        )
        self._crypt = library.crypt_rn
        self._crypt.restype = ctypes.c_char_p
        self._crypt.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_int)

    def hash(self, password: str, algorithm: str) -> str:
        """With a random salt. `algorithm` is one of PREFIXES."""
        setting = ctypes.create_string_buffer(_SETTING_SIZE)
        random = secrets.token_bytes(_RANDOM_BYTES)
        prefix, cost = PREFIXES[algorithm].encode(), _COSTS[algorithm]
        made = self._gensalt(prefix, cost, random, len(random), setting, len(setting))
        text = self._run(password, made) if made else None
        if text is None or not text.startswith(PREFIXES[algorithm]):
            raise UsageError(
                "hash-method-missing",
                f"this host's libcrypt cannot make {algorithm} hashes",
                hint="choose another hash_algo, or write the password as hashed text",
            )
        return text

    def verifies(self, password: str, text: str) -> bool:
        """Whether `text` is a hash of `password`."""
        return self._run(password, text.encode()) == text

    def _run(self, password: str, setting: bytes) -> str | None:
        data = ctypes.create_string_buffer(_DATA_SIZE)
        try:
            found = self._crypt(password.encode(), setting, data, len(data))
        finally:
            ctypes.memset(data, 0, len(data))
        # A copy made before the buffer was cleared.
        return found.decode() if found else None


def _load(names: Iterable[str]) -> ctypes.CDLL:
    for name in names:
        try:
            library = ctypes.CDLL(name)
        except OSError:
            continue
        if hasattr(library, "crypt_rn") and hasattr(library, "crypt_gensalt_rn"):
            return library
    raise UsageError(
        "no-crypt-library",
        "this host has no libcrypt that can hash a plain password",
        hint="install libcrypt1 (libxcrypt), or write the password as hashed text, as `mkpasswd` prints it",
    )

"""A file of the user's own, written whole or not at all: with the mode that it has or that the umask gives, and through
a link where it is one."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def write_user_file(path: Path, data: bytes) -> None:
    """Raises OSError with the file's name."""
    target = path.resolve()
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), "wb") as file:
            file.write(data)
        if target.exists():
            temporary.chmod(target.stat().st_mode & 0o7777)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)

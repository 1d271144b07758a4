"""One text for one value: canonical JSON and the hashes made from it."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
import os
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any


def canonical_json(value: Any) -> str:
    """`value` as JSON with sorted keys and no spaces. Frozen dataclasses become objects, tuples lists.
    Raises TypeError for anything whose text could differ from run to run, such as floats and sets."""
    return json.dumps(plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def plain(value: Any) -> Any:
    """Only dicts, lists, strings, integers, booleans and None."""
    if value is None or isinstance(value, str | bool | int):
        return value.value if isinstance(value, Enum) else value
    if isinstance(value, Enum):
        return plain(value.value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, bytes):
        return value.hex()
    raise TypeError(f"no canonical form for {type(value).__name__}")


def sha256_text(text: str) -> str:
    """Hex SHA-256 of `text` in UTF-8."""
    return hashlib.sha256(text.encode()).hexdigest()


_ZEROS = bytes(1 << 20)


def sha256_file(path: Path) -> str:
    """Hex SHA-256 of a file's bytes. Holes of a sparse file count as the zeros they are, without being read."""
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as stream:
        number, size, offset = stream.fileno(), os.fstat(stream.fileno()).st_size, 0
        while offset < size:
            start = _next_data(number, offset, size)
            for done in range(offset, start, len(_ZEROS)):
                digest.update(_ZEROS[: start - done])
            stream.seek(start)
            end = os.lseek(number, start, os.SEEK_HOLE) if start < size else size
            stream.seek(start)
            while start < end:
                block = stream.read(min(len(_ZEROS), end - start))
                if not block:
                    return digest.hexdigest()
                digest.update(block)
                start += len(block)
            offset = end
    return digest.hexdigest()


def _next_data(number: int, offset: int, size: int) -> int:
    """Where the next data begins (lseek(2), SEEK_DATA); the end of the file when only a hole is left."""
    try:
        return os.lseek(number, offset, os.SEEK_DATA)
    except OSError as error:
        if error.errno == errno.ENXIO:
            return size
        raise

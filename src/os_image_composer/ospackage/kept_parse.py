"""What was worked out from a repository's index, kept so that the next run need not work it out again.

Beside the index, in a file that begins with a SHA-256 over the index's own SHA-256, the name and version of the form
and the content. So a file that was damaged, that belongs to another index or that an older parser wrote is not used
but made again. This finds damage; it proves nothing to whom may write to the cache. So who reads it takes no more
from it than where to look in the index itself, whose bytes are held against the signed metadata in every run.

Indexes in XML do without: libsolv reads 12,000 packages of one in 0.3 s, and its own cache form would have to be
believed, digests and all.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable
from pathlib import Path

from os_image_composer.errors import StoreError
from os_image_composer.ospackage.kept_files import keep, use


def kept_parse(folder: Path, index_sha256: str, form: str, make: Callable[[], bytes]) -> bytes:
    """The content of the kept file, else what `make` gives, kept. `form` is a name and version such as `table-1`;
    `folder` is where indexes are kept. A cache that cannot be written costs time, and is no error here."""
    path = folder / f"{index_sha256}.{form}"
    seal = hashlib.sha256(f"{index_sha256} {form}\n".encode())
    with contextlib.suppress(OSError):
        kept = memoryview(use(path))
        if kept[: seal.digest_size] == _sealed(seal, kept[seal.digest_size :]):
            return bytes(kept[seal.digest_size :])
    content = make()
    with contextlib.suppress(StoreError):
        keep(path, _sealed(seal, content) + content)
    return content


def _sealed(seal: hashlib._Hash, content: bytes | memoryview) -> bytes:
    whole = seal.copy()
    whole.update(content)
    return whole.digest()

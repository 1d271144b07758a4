"""A repository's index as plain bytes: fetched packed, checked against what the signed metadata says, kept, and
checked again when used.

What is kept is the plain text, compressed anew with zstd, under the SHA-256 that the metadata gives for the plain
file: every use hashes the text again, so a kept index is trusted no more than a fetched one, and reading it costs a
tenth of a second for 57 MB.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import zstandard

from os_image_composer.build.events import Listener, Note
from os_image_composer.errors import FetchError, MetadataError, TrustError
from os_image_composer.ospackage.cache import PackageCache
from os_image_composer.ospackage.expanding import BLOCK, EXPANSION_ERRORS, expanding
from os_image_composer.ospackage.fetch import Wanted, fetch_files
from os_image_composer.ospackage.kept_files import keep, use
from os_image_composer.ospackage.transport import Transport

MAX_INDEX = 1 << 30  # bytes; the largest index of Debian has 60 MB


@dataclass(frozen=True)
class IndexSource:
    """An index: `urls` are tried in turn where one does not exist; sizes are bytes, of the file as it is fetched
    (`form` says how it is compressed) and of its plain text; `signed_by` names the file that says so."""

    what: str
    urls: tuple[str, ...]
    form: str
    packed_sha256: str
    packed_size: int
    plain_sha256: str
    plain_size: int
    signed_by: str


def read_index(source: IndexSource, root: Path, transport: Transport, listener: Listener) -> bytes:
    """The plain text of an index. `root` is the metadata cache. Raises TrustError `wrong-bytes`, MetadataError
    `oversized-index`, `over-expanding-index`, `bad-index`, FetchError."""
    if source.plain_size > MAX_INDEX or source.packed_size > MAX_INDEX:
        raise MetadataError("oversized-index", f"{source.what} is larger than {MAX_INDEX} bytes")
    kept = indexes(root) / f"{source.plain_sha256}.zst"
    try:
        return _kept(kept, source)
    except FileNotFoundError:
        pass
    except (MetadataError, TrustError) as error:
        listener(Note("warning", f"{kept} was damaged ({error.cause}); making it again"))
        kept.unlink(missing_ok=True)
    cache = PackageCache(root)
    _fetch(source, cache, transport, listener)
    # It stays in the cache: another build, or another repository with an equal index, may want it at this moment.
    try:
        text = _expand(cache.path(source.packed_sha256), source.form, source)
    except (MetadataError, TrustError):
        cache.remove(source.packed_sha256)
        raise
    keep(kept, zstandard.ZstdCompressor(level=1).compress(text))  # expands faster than of a higher level
    return text


def indexes(root: Path) -> Path:
    """Where the metadata cache at `root` keeps indexes, and what was worked out from them."""
    return root / "indexes"


def _kept(path: Path, source: IndexSource) -> bytes:
    """The plain text of a kept index, expanded in one go: twice as fast as block by block."""
    packed = use(path)
    try:
        size = zstandard.frame_content_size(packed)
        text = zstandard.ZstdDecompressor().decompress(packed) if size == source.plain_size else b""
    except zstandard.ZstdError as error:
        raise MetadataError("bad-index", f"{source.what} cannot be expanded", cause=str(error)) from error
    _check(hashlib.sha256(text).hexdigest(), source)
    return text


def _fetch(source: IndexSource, cache: PackageCache, transport: Transport, listener: Listener) -> None:
    for url in source.urls:
        try:
            wanted = Wanted((url,), source.packed_sha256, source.packed_size, source.what)
            fetch_files([wanted], cache, transport, listener)
            return
        except FetchError as error:
            if error.reference != "not-found" or url == source.urls[-1]:
                raise


def _expand(path: Path, form: str, source: IndexSource) -> bytes:
    """The plain text, never more of it than the metadata allows."""
    limit, text, size = source.plain_size, [], 0
    digest = hashlib.sha256()
    with path.open("rb") as file:
        try:
            for block in _blocks(file, form):
                size += len(block)
                if size > limit:
                    raise MetadataError(
                        "over-expanding-index",
                        f"{source.what} expands to more than its {source.signed_by} says",
                        cause=f"more than {limit} bytes",
                    )
                digest.update(block)
                text.append(block)
        except EXPANSION_ERRORS as error:
            raise MetadataError("bad-index", f"{source.what} cannot be expanded", cause=str(error)) from error
    _check(digest.hexdigest(), source)
    return b"".join(text)


def _check(actual: str, source: IndexSource) -> None:
    if actual != source.plain_sha256:
        raise TrustError(
            "wrong-bytes",
            f"{source.what} does not expand to what was signed",
            cause=f"SHA-256 {actual} instead of {source.plain_sha256}",
        )


def _blocks(file: BinaryIO, form: str) -> Iterator[bytes]:
    # The caller closes the file; these only read through it.
    opened = expanding(cast(io.BufferedIOBase, file), form)
    while block := opened.read(BLOCK):
        yield block

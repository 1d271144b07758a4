"""A suite's package indexes: fetched, checked against the signed Release, kept, and checked again when used.

What is kept is the plain text, compressed anew with zstd, under the SHA-256 that the Release gives for the plain
file: every use hashes the text again, so a kept index is trusted no more than a fetched one, and reading it costs a
fifth of a second for 57 MB.
"""

from __future__ import annotations

import gzip
import hashlib
import lzma
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import zstandard

from os_image_composer.build.events import Listener, Note
from os_image_composer.errors import FetchError, MetadataError, TrustError
from os_image_composer.ospackage.cache import PackageCache, write_atomically
from os_image_composer.ospackage.deb.release import IndexEntry, Release
from os_image_composer.ospackage.fetch import Wanted, fetch_files
from os_image_composer.ospackage.transport import Transport

MAX_INDEX = 1 << 30  # bytes; the largest index of Debian has 60 MB
_BLOCK = 1 << 20
_FORMS = (".xz", ".gz", "")  # best first


@dataclass(frozen=True)
class IndexSource:
    """Where an index comes from: the suite's directory and what its Release says of it."""

    directory: str  # URL of dists/<suite>, without a slash at its end
    what: str
    plain: IndexEntry
    packed: IndexEntry
    by_hash: bool


def index_sources(
    release: Release, directory: str, components: Sequence[str], arch: str, what: str
) -> tuple[IndexSource, ...]:
    """The Packages files of the components for `arch`, and of `all` where they stand apart. Raises MetadataError
    `no-such-index` and `oversized-index`."""
    sources = []
    for component in components:
        for one in (arch,) if release.all_in_each else (arch, "all"):
            path = f"{component}/binary-{one}/Packages"
            plain = release.files.get(path)
            packed = next((release.files[path + f] for f in _FORMS if path + f in release.files), None)
            if plain is None or packed is None:
                if one == "all":
                    continue
                raise MetadataError(
                    "no-such-index",
                    f"{what} has no component {component} for {arch}",
                    cause=f"components {' '.join(release.components)}, architectures {' '.join(release.architectures)}",
                )
            if plain.size > MAX_INDEX or packed.size > MAX_INDEX:
                raise MetadataError("oversized-index", f"{what}: {path} is larger than {MAX_INDEX} bytes")
            sources.append(IndexSource(directory, f"{what} {path}", plain, packed, release.acquire_by_hash))
    return tuple(sources)


def read_index(source: IndexSource, root: Path, transport: Transport, listener: Listener) -> bytes:
    """The plain text of an index. `root` is the metadata cache. Raises TrustError `wrong-bytes`, MetadataError
    `bad-index`, FetchError."""
    kept = root / "indexes" / f"{source.plain.sha256}.zst"
    try:
        return _expand(kept, ".zst", source)
    except FileNotFoundError:
        pass
    except (MetadataError, TrustError) as error:
        listener(Note("warning", f"{kept} was damaged ({error.cause}); making it again"))
        kept.unlink(missing_ok=True)
    cache = PackageCache(root)
    _fetch(source, cache, transport, listener)
    # It stays in the cache: another build, or another suite with an equal index, may want it at this moment.
    form = source.packed.path.removeprefix(source.plain.path)
    try:
        text = _expand(cache.path(source.packed.sha256), form, source)
    except (MetadataError, TrustError):
        cache.remove(source.packed.sha256)
        raise
    write_atomically(kept, zstandard.ZstdCompressor(level=3).compress(text))
    return text


def _fetch(source: IndexSource, cache: PackageCache, transport: Transport, listener: Listener) -> None:
    entry = source.packed
    urls = [f"{source.directory}/{entry.path}"]
    if source.by_hash:
        parent = entry.path.rsplit("/", 1)[0]
        urls.insert(0, f"{source.directory}/{parent}/by-hash/SHA256/{entry.sha256}")
    for url in urls:
        try:
            fetch_files([Wanted(url, entry.sha256, entry.size, source.what)], cache, transport, listener)
            return
        except FetchError as error:
            if error.reference != "not-found" or url == urls[-1]:
                raise


def _expand(path: Path, form: str, source: IndexSource) -> bytes:
    """The plain text, never more of it than the Release allows."""
    limit, text, size = source.plain.size, [], 0
    digest = hashlib.sha256()
    with path.open("rb") as file:
        try:
            for block in _blocks(file, form):
                size += len(block)
                if size > limit:
                    raise MetadataError(
                        "over-expanding-index",
                        f"{source.what} expands to more than its Release says",
                        cause=f"more than {limit} bytes",
                    )
                digest.update(block)
                text.append(block)
        except (lzma.LZMAError, zlib.error, zstandard.ZstdError, EOFError, gzip.BadGzipFile) as error:
            raise MetadataError("bad-index", f"{source.what} cannot be expanded", cause=str(error)) from error
    if digest.hexdigest() != source.plain.sha256:
        raise TrustError(
            "wrong-bytes",
            f"{source.what} does not expand to what was signed",
            cause=f"SHA-256 {digest.hexdigest()} instead of {source.plain.sha256}",
        )
    return b"".join(text)


def _blocks(file: BinaryIO, form: str) -> Iterator[bytes]:
    if form == ".zst":
        yield from zstandard.ZstdDecompressor().read_to_iter(file, read_size=_BLOCK, write_size=_BLOCK)
        return
    # The caller closes the file; these only read through it.
    opened = _opened(file, form)
    while block := opened.read(_BLOCK):
        yield block


def _opened(file: BinaryIO, form: str) -> BinaryIO:
    if form == ".xz":
        return cast(BinaryIO, lzma.LZMAFile(file))
    return cast(BinaryIO, gzip.GzipFile(fileobj=file)) if form == ".gz" else file

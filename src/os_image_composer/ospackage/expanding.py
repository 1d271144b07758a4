"""Reading what is compressed, without trusting it: a stream ends in an error where it is damaged, cut off or longer
than it may be."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable
from typing import BinaryIO, cast

import zstandard

from os_image_composer.errors import MetadataError

BLOCK = 1 << 20
EXPANSION_ERRORS = (lzma.LZMAError, zlib.error, zstandard.ZstdError, EOFError, gzip.BadGzipFile)
_ZSTD_PIECE = 1 << 12  # bytes; 4 of them can become 128 kB, so no piece becomes more than 128 MB
_Failure = Callable[[str], MetadataError]  # makes the error from its cause


class UnknownFormError(ValueError):
    """A compression that is not read here."""


def expanding(packed: io.BufferedIOBase, form: str) -> io.BufferedIOBase:
    """The plain bytes of `packed`; `form` is "", ".gz", ".xz", ".lzma", ".bz2" or ".zst". Raises UnknownFormError;
    reading raises one of EXPANSION_ERRORS, or OSError (bzip2), where the data is damaged or cut off."""
    file = cast(BinaryIO, packed)
    if form == "":
        return packed
    if form in (".xz", ".lzma"):
        return cast(io.BufferedIOBase, lzma.LZMAFile(file))
    if form == ".gz":
        return cast(io.BufferedIOBase, gzip.GzipFile(fileobj=file))
    if form == ".bz2":
        return cast(io.BufferedIOBase, bz2.BZ2File(file))
    if form == ".zst":
        return io.BufferedReader(_Zstd(packed), BLOCK)
    raise UnknownFormError(form)


class Part(io.RawIOBase):
    """Some bytes of a file, as a file: `size` bytes from `offset` on."""

    def __init__(self, file: io.BufferedReader, offset: int, size: int) -> None:
        self._file, self._left = file, size
        file.seek(offset)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._file.read(min(len(buffer), self._left))
        buffer[: len(data)] = data
        self._left -= len(data)
        return len(data)


class _Zstd(io.RawIOBase):
    """A zstd stream that must be whole: the library's own reader takes a cut one for the end."""

    def __init__(self, part: io.BufferedIOBase) -> None:
        self._part = part
        self._expander = zstandard.ZstdDecompressor().decompressobj()
        self._ready = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._ready:
            packed = self._part.read(_ZSTD_PIECE)
            if not packed:
                if not self._expander.eof:
                    raise EOFError("compressed data ended before its end was reached")
                return 0
            if self._expander.eof:
                self._expander = zstandard.ZstdDecompressor().decompressobj()
            self._ready = memoryview(self._expander.decompress(packed))
            if self._expander.unused_data:
                raise zstandard.ZstdError("data after the end of the frame")
        count = min(len(buffer), len(self._ready))
        buffer[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count


class Bounded(io.RawIOBase):
    """An expanding stream over `file`, which is closed with it. Where it is damaged or gives more than `limit` bytes,
    reading raises what `failure` makes of the cause."""

    def __init__(self, stream: io.BufferedIOBase, file: io.BufferedReader, limit: int, failure: _Failure) -> None:
        self._stream, self._file, self._limit, self._failure = stream, file, limit, failure
        self._read = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        try:
            data = self._stream.read(len(buffer))
        except (*EXPANSION_ERRORS, OSError) as error:
            raise self._failure(f"it cannot be expanded: {error}") from error
        self._read += len(data)
        if self._read > self._limit:
            raise self._failure(f"it expands to more than {self._limit} bytes")
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()

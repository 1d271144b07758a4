"""Copy what is in a file, and leave its holes holes (SEEK_DATA and SEEK_HOLE, lseek(2))."""

from __future__ import annotations

import os
from typing import BinaryIO

_BLOCK = 1 << 20


def copy_data(reader: BinaryIO, writer: BinaryIO, place: int = 0) -> None:
    """Write the data of `reader` into `writer`, `place` bytes further on than it lies there; where there are holes,
    `writer` stays as it is."""
    source, target, size, offset = reader.fileno(), writer.fileno(), os.fstat(reader.fileno()).st_size, 0
    while offset < size:
        try:
            start = os.lseek(source, offset, os.SEEK_DATA)
        except OSError:
            return
        end = os.lseek(source, start, os.SEEK_HOLE)
        # Read and write, not copy_file_range(2), which many pairs of filesystems refuse (EXDEV).
        while start < end:
            block = os.pread(source, min(_BLOCK, end - start), start)
            if not block:
                return
            os.pwrite(target, block, place + start)
            start += len(block)
        offset = end

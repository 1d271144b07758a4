"""The digest of a medium, in the medium: what a live system compares with when it is told to check what it runs from.

It stands in the field of the primary volume descriptor that is kept for applications (ECMA-119 §8.4.32), as the words
`SHA-256`, 64 hex digits and the offset in bytes at which what is covered ends. Covered is everything from the volume
descriptors to the end of the last partition but this field. Not covered are the partition tables, which are other ones
once a partition for what is changed was added: the first 32 KiB, and the copy at the end.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from os_image_composer.errors import StepError
from os_image_composer.formats.partition_table import read_partition_table
from os_image_composer.formats.window import FileSource, FormatError, Window

START = 32768  # ECMA-119 §6.2.1: sixteen sectors of 2048 bytes that are not the filesystem's
FIELD, FIELD_SIZE = START + 883, 512
_MAGIC = b"\x01CD001"  # the type of a primary volume descriptor and the standard's identifier (§8.4)
_CHUNK = 1 << 20


def implant_digest(image: Path) -> None:
    """Write the digest into the file. Raises StepError `iso-not-written` for what is no ISO with partitions."""
    end = _covered_end(image)
    with image.open("r+b") as file:
        if file.seek(START) != START or file.read(len(_MAGIC)) != _MAGIC:
            raise StepError("iso-not-written", f"{image.name} does not begin with a primary volume descriptor")
        text = f"SHA-256 {digest_of(image, end)} {end}".encode()
        file.seek(FIELD)
        file.write(text.ljust(FIELD_SIZE))


def digest_of(image: Path, end: int) -> str:
    """Hex SHA-256 of what is covered, up to the offset `end`."""
    found = hashlib.sha256()
    with image.open("rb") as file:
        for start, stop in ((START, FIELD), (FIELD + FIELD_SIZE, end)):
            file.seek(start)
            left = stop - start
            while left:
                chunk = file.read(min(_CHUNK, left))
                if not chunk:
                    raise StepError("iso-not-written", f"{image.name} is shorter than its partitions")
                found.update(chunk)
                left -= len(chunk)
    return found.hexdigest()


def _covered_end(image: Path) -> int:
    try:
        with FileSource(image) as source:
            table = read_partition_table(Window.over(source))
    except FormatError as error:
        raise StepError("iso-not-written", f"{image.name} has no readable partition table", cause=str(error)) from error
    ends = [partition.start + partition.size for partition in table.partitions] if table else []
    if not ends:
        raise StepError("iso-not-written", f"{image.name} has no partitions")
    return max(ends)

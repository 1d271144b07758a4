"""Sizes as people write them, as bytes."""

from __future__ import annotations

import re

__all__ = ["MIB", "format_size", "parse_size"]

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB
TIB = 1024 * GIB

# A single letter means the power of two, as in the templates of the tool's predecessor and in lsblk; kB, MB
# and GB are SI (IEC 80000-13).
UNITS = {
    "": 1,
    "B": 1,
    "K": KIB,
    "KiB": KIB,
    "KB": 1000,
    "M": MIB,
    "MiB": MIB,
    "MB": 1000**2,
    "G": GIB,
    "GiB": GIB,
    "GB": 1000**3,
    "T": TIB,
    "TiB": TIB,
    "TB": 1000**4,
}
SIZE = re.compile(r"([0-9]+) ?([A-Za-z]*)")
LARGEST = 2**63 - 1


def parse_size(text: str | int) -> int:
    """Bytes meant by `4GiB`, `512 MiB`, `512M` or a bare number. Raises ValueError, which says what is wrong."""
    if isinstance(text, bool):
        raise ValueError("a size is a number with a unit, such as 4GiB")
    match = SIZE.fullmatch(str(text).strip())
    if not match:
        raise ValueError(f"'{text}' is not a size such as 4GiB, 512MiB or 1048576")
    number, unit = match.groups()
    if unit not in UNITS:
        raise ValueError(f"'{unit}' is not a unit of size: use KiB, MiB, GiB or TiB")
    size = int(number) * UNITS[unit]
    if size > LARGEST:
        raise ValueError(f"'{text}' is larger than any disk")
    return size


def format_size(size: int) -> str:
    """The shortest exact way to write `size` bytes."""
    for unit, name in ((TIB, "TiB"), (GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
        if size and size % unit == 0:
            return f"{size // unit}{name}"
    return f"{size}B"

"""The shape of the folders that the steps of a root leave which is never written to, and what its seal is called by."""

from __future__ import annotations

import re
from pathlib import Path

# The filesystem, as long as its partition or as what is in it.
ROOT_IMAGE = "root.img"
# The hash tree over it, and the digest that stands for all of it: 64 hex digits and a line feed.
HASH_TREE = "hash.img"
ROOT_HASH = "root-hash"

# A block that was changed stops the system: read errors alone would let it go on without what it could not read, such
# as a firewall's rules (veritytab(5)).
_OPTIONS = "systemd.verity_root_options=panic-on-corruption"
_HEX = re.compile(r"[0-9a-f]{64}")


def read_root_hash(folder: Path) -> str:
    """64 hex digits, from what the step left."""
    text = (folder / ROOT_HASH).read_text().strip()
    if not _HEX.fullmatch(text):
        raise ValueError(f"{text!r} is no root hash")
    return text


def sealed_command_line(root_hash: str) -> str:
    """What the kernel's command line says of a sealed root beside `root=`: systemd-veritysetup-generator(8) finds both
    partitions by their UUIDs, which follow from the root hash."""
    return f"roothash={root_hash} {_OPTIONS}"

"""Roots that are sealed with dm-verity: the root hash of a command line, and whether data and hash tree are its own.

Source: Discoverable Partitions Specification (UAPI.2: the UUID of the data partition is the first half of the root
hash, that of the hash partition the second), kernel-command-line(7) of systemd (`roothash=`, `systemd.verity_root_…`).
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Mapping

from os_image_composer.formats.partition_table import Partition, PartitionTable
from os_image_composer.formats.verity import check_tree
from os_image_composer.formats.window import FormatError, Window
from os_image_composer.report.image_file import EfiProgram, SealedRoot

# The option with the hash, and what says where data and tree are when they are not found by it.
_SEALS = {
    "root": ("roothash", "systemd.verity_root_data", "systemd.verity_root_hash"),
    "usr": ("usrhash", "systemd.verity_usr_data", "systemd.verity_usr_hash"),
}
_HASH = re.compile(r"[0-9a-fA-F]{64}|[0-9a-fA-F]{128}")
_DEVICE = re.compile(r"(?:PARTUUID=|/dev/disk/by-partuuid/)([0-9a-fA-F-]{36})")


def sealed_roots(programs: tuple[EfiProgram, ...], table: PartitionTable | None, disk: Window) -> Iterator[SealedRoot]:
    """For each root hash of each UKI, whether the disk's partitions are what it says. Reads them whole, once a hash."""
    partitions = {(p.uuid or "").lower(): p for p in (table.partitions if table else ())}
    known: dict[tuple[str, str, str], str | None] = {}
    for program in programs:
        options = _options(program.text.get(".cmdline", ""))
        for what, (option, data_option, tree_option) in _SEALS.items():
            root_hash = options.get(option, "").lower()
            if option not in options:
                continue
            if not _HASH.fullmatch(root_hash):
                yield SealedRoot(what, program.path, root_hash, None, None, "it is no root hash")
                continue
            data_uuid = _named(options.get(data_option)) or str(uuid.UUID(root_hash[:32]))
            tree_uuid = _named(options.get(tree_option)) or str(uuid.UUID(root_hash[-32:]))
            data, tree = partitions.get(data_uuid), partitions.get(tree_uuid)
            key = (root_hash, data_uuid, tree_uuid)
            if key not in known:
                known[key] = _fault(root_hash, data, tree, disk)
            numbers = data.number if data else None, tree.number if tree else None
            yield SealedRoot(what, program.path, root_hash, *numbers, known[key])


def _fault(root_hash: str, data: Partition | None, tree: Partition | None, disk: Window) -> str | None:
    """Why the two are not what was sealed; None where all of both is."""
    if data is None or tree is None:
        return f"no partition of this disk holds its {'data' if data is None else 'hash tree'}"
    try:
        check = check_tree(disk.part(data.start, data.size), disk.part(tree.start, tree.size), bytes.fromhex(root_hash))
    except FormatError as error:
        return str(error)
    if not check.root:
        return f"the hash tree in partition {tree.number} has another root hash"
    if not check.damaged:
        return None
    places = [f"block {n} of the hash tree (partition {tree.number})" for n in check.tree[:1]]
    places += [f"block {n} of the data (partition {data.number})" for n in check.data[:1]]
    return f"changed: {' and '.join(places)}; {check.damaged} in all"


def _named(device: str | None) -> str | None:
    found = _DEVICE.fullmatch(device or "")
    return found[1].lower() if found else None


def _options(cmdline: str) -> Mapping[str, str]:
    """The last one of each name counts, as for the kernel's own."""
    pairs = (word.partition("=") for word in cmdline.split())
    return {name: value for name, _, value in pairs}

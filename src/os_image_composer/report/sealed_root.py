"""Roots that are sealed with dm-verity: the root hash of a command line, and whether data and hash tree are its own.

Source: Discoverable Partitions Specification (UAPI.2: the UUID of the data partition is the first half of the root
hash, that of the hash partition the second), kernel-command-line(7) of systemd (`roothash=`, `systemd.verity_root_…`).
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Mapping

from os_image_composer.formats.iso9660 import find_file
from os_image_composer.formats.partition_table import Partition, PartitionTable
from os_image_composer.formats.verity import check_tree
from os_image_composer.formats.window import FormatError, Window
from os_image_composer.report.image_file import EfiProgram, SealedRoot

# The option with the hash, and what says where data and tree are when they are not found by it.
_SEALS = {
    "root": ("roothash", "systemd.verity_root_data", "systemd.verity_root_hash"),
    "usr": ("usrhash", "systemd.verity_usr_data", "systemd.verity_usr_hash"),
}
# The option of this tool's own live media; the files are on the medium, which is its first partition, too.
_LIVE, _LIVE_DATA, _LIVE_TREE = "image.live.verity", "live/root.squashfs", "live/root.verity"
_MEDIUM = 1
_HASH = re.compile(r"[0-9a-fA-F]{64}|[0-9a-fA-F]{128}")
_DEVICE = re.compile(r"(?:PARTUUID=|/dev/disk/by-partuuid/)([0-9a-fA-F-]{36})")


def sealed_roots(programs: tuple[EfiProgram, ...], table: PartitionTable | None, disk: Window) -> Iterator[SealedRoot]:
    """For each root hash of each UKI, whether the disk's partitions are what it says. Reads them whole, once a hash."""
    partitions = {(p.uuid or "").lower(): p for p in (table.partitions if table else ())}
    known: dict[tuple[str, str, str], str | None] = {}
    for program in programs:
        options = _options(program.text.get(".cmdline", ""))
        if _LIVE in options:
            root_hash = options[_LIVE].lower()
            yield SealedRoot("root", program.path, root_hash, _MEDIUM, _MEDIUM, _live_fault(root_hash, disk))
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
        contents = disk.part(data.start, data.size), disk.part(tree.start, tree.size)
        return _difference(root_hash, *contents, f"partition {data.number}", f"partition {tree.number}")
    except FormatError as error:
        return str(error)


def _live_fault(root_hash: str, disk: Window) -> str | None:
    """The same of a medium's files."""
    if not _HASH.fullmatch(root_hash):
        return "it is no root hash"
    try:
        data, tree = (find_file(disk, path) for path in (_LIVE_DATA, _LIVE_TREE))
        if data is None or tree is None:
            return f"the medium has no /{_LIVE_DATA if data is None else _LIVE_TREE}"
        return _difference(root_hash, data, tree, f"/{_LIVE_DATA}", f"/{_LIVE_TREE}")
    except FormatError as error:
        return str(error)


def _difference(root_hash: str, data: Window, tree: Window, of_data: str, of_tree: str) -> str | None:
    """Raises FormatError."""
    check = check_tree(data, tree, bytes.fromhex(root_hash))
    if not check.root:
        return f"the hash tree in {of_tree} has another root hash"
    if not check.damaged:
        return None
    places = [f"block {n} of the hash tree ({of_tree})" for n in check.tree[:1]]
    places += [f"block {n} of the data ({of_data})" for n in check.data[:1]]
    return f"changed: {' and '.join(places)}; {check.damaged} in all"


def _named(device: str | None) -> str | None:
    found = _DEVICE.fullmatch(device or "")
    return found[1].lower() if found else None


def _options(cmdline: str) -> Mapping[str, str]:
    """The last one of each name counts, as for the kernel's own."""
    pairs = (word.partition("=") for word in cmdline.split())
    return {name: value for name, _, value in pairs}

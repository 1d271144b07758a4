"""Two installed trees side by side: what is in a tar of each, entry by entry, and where they differ.

Both tars are made by GNU tar inside the namespace that made the tree, so owners are the ids inside and capabilities
are written as the system that starts from the tree would see them.
"""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from os_image_composer.chroot.job import Bind, Job, MountedTree, Tree
from os_image_composer.chroot.sandbox import Sandbox

TAR = ("--numeric-owner", "--xattrs", "--format=pax", "--sort=name", "--one-file-system")
_ATTRIBUTES = "SCHILY.xattr."
_KINDS = {
    tarfile.REGTYPE: "file",
    tarfile.DIRTYPE: "directory",
    tarfile.SYMTYPE: "symlink",
    tarfile.CHRTYPE: "character device",
    tarfile.BLKTYPE: "block device",
    tarfile.FIFOTYPE: "fifo",
}


@dataclass(frozen=True)
class Entry:
    """`content` is the SHA-256 of a file, the target of a symlink, the number of a device; `names` is how many names
    a file has (hard links); times are no part of it."""

    kind: str
    mode: int
    owner: tuple[int, int]
    attributes: tuple[tuple[str, str], ...]
    content: str
    names: int


def tar_of(tree: Tree, target: Path, sandbox: Sandbox) -> None:
    """The merged `tree` as a tar, made by its own tar program; nothing of the sandbox (/proc, /run) is in it."""
    sandbox.new_file(target, 0)
    argv = ("tar", *TAR, "--create", "--file=/run/tree.tar", "--directory=/mnt", ".")
    mounts = (MountedTree(tree, "/mnt"), Bind(target, "/run/tree.tar", read_only=False))
    done = sandbox.run(Job(tree, argv, mounts))
    sandbox.own(target)
    assert done.status == 0, done.tail()


def read_tree(path: Path) -> dict[str, Entry]:
    """Every entry of a tar by its path (`/` for the root)."""
    found: dict[str, Entry] = {}
    links: dict[str, str] = {}
    with tarfile.open(path, mode="r:") as tar:
        for member in tar:
            name = _path(member.name)
            if member.islnk():
                links[name] = _path(member.linkname)
            else:
                found[name] = _entry(tar, member)
    for name, first in links.items():
        found[name] = found[first]
    names = {first: 1 + list(links.values()).count(first) for first in set(links.values())}
    for name, first in [*links.items(), *((first, first) for first in names)]:
        entry = found[name]
        found[name] = Entry(entry.kind, entry.mode, entry.owner, entry.attributes, entry.content, names[first])
    return found


def differences(ours: Mapping[str, Entry], theirs: Mapping[str, Entry]) -> dict[str, str]:
    """By path, in what the two trees differ, in words."""
    found = dict.fromkeys(ours.keys() - theirs.keys(), "only in ours")
    found |= dict.fromkeys(theirs.keys() - ours.keys(), "only in theirs")
    for path in ours.keys() & theirs.keys():
        words = _different(ours[path], theirs[path])
        if words:
            found[path] = "; ".join(words)
    return dict(sorted(found.items()))


def _different(ours: Entry, theirs: Entry) -> Sequence[str]:
    pairs = (
        ("kind", ours.kind, theirs.kind),
        ("mode", f"{ours.mode:o}", f"{theirs.mode:o}"),
        ("owner", ours.owner, theirs.owner),
        ("attributes", ours.attributes, theirs.attributes),
        ("content", ours.content[:12], theirs.content[:12]),
        ("names", ours.names, theirs.names),
    )
    return [f"{what} {one} and not {other}" for what, one, other in pairs if one != other]


def _path(name: str) -> str:
    return "/" + name.strip("/").removeprefix("./").removeprefix(".")


def _entry(tar: tarfile.TarFile, member: tarfile.TarInfo) -> Entry:
    content = ""
    if member.issym():
        content = member.linkname
    elif member.ischr() or member.isblk():
        content = f"{member.devmajor}:{member.devminor}"
    elif member.isreg():
        stream = tar.extractfile(member)
        assert stream is not None
        with stream:
            content = hashlib.sha256(stream.read()).hexdigest()
    attributes = sorted((key, value) for key, value in member.pax_headers.items() if key.startswith(_ATTRIBUTES))
    kind = _KINDS[tarfile.REGTYPE if member.isreg() else member.type]
    return Entry(kind, member.mode, (member.uid, member.gid), tuple(attributes), content, 1)

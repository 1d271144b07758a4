"""Files of the build host in the image, and what the installation left behind that no image may carry."""

from __future__ import annotations

import glob
import hashlib
import posixpath
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from os_image_composer.chroot.job import Edit, MakeDirectory, Remove, Tree, WriteFile
from os_image_composer.chroot.sandbox import Sandbox
from os_image_composer.chroot.services import Services
from os_image_composer.config.nearest import did_you_mean
from os_image_composer.errors import StepError
from os_image_composer.image.databases import Databases, read_databases
from os_image_composer.image.host_file import changed

_MOST_AT_ONCE = 32 << 20  # bytes of files that wait in memory for one run of the sandbox


@dataclass(frozen=True)
class PlacedFile:
    """A file of the build host by its content; the services know where it lies. `mode` is what the template says, else
    0644 or, for what its owner may execute, 0755: the rest of a checkout's modes follows the umask of whoever made it.
    `owner` and `group` are names or numbers of the image. `folder`: see `AdditionalFile`."""

    final: str
    sha256: str
    mode: int
    owner: str | None
    group: str | None
    folder: str | None


def place_files(services: Services, tree: Tree, files: Iterable[tuple[int, PlacedFile]]) -> None:
    """Copy `files`, each with its number in the template. Raises StepError for an owner that the image lacks."""
    sandbox = services.sandbox
    numbered = list(files)
    if not numbered:
        return
    known = read_databases(sandbox, tree)
    owners = [_ids(placed, known, f"systemConfig.additionalFiles[{number}]") for number, placed in numbered]
    edits = _folders(sandbox, tree, zip((placed for _, placed in numbered), owners, strict=True), known)
    waiting = 0
    for (_, placed), (uid, gid) in zip(numbered, owners, strict=True):
        content = _content(services, placed)
        edits.append(WriteFile(placed.final, content, placed.mode, uid, gid))
        waiting += len(content)
        if waiting > _MOST_AT_ONCE:
            sandbox.edit(tree, edits)
            edits, waiting = [], 0
    sandbox.edit(tree, edits)


def _folders(
    sandbox: Sandbox, tree: Tree, files: Iterable[tuple[PlacedFile, tuple[int, int]]], known: Databases
) -> list[Edit]:
    """What must be made for files of these owners before they are written and does not belong to root, parents
    first."""
    owner_of: dict[str, tuple[int, int]] = {}
    for placed, owner in files:
        for path in _own_parents(placed, owner, known):
            owner_of.setdefault(path, owner)
    there = set(sandbox.glob(tree, *(glob.escape(path.lstrip("/")) for path in owner_of)))
    missing = sorted(path for path in owner_of if path.lstrip("/") not in there)
    return [MakeDirectory(path, 0o755, *owner_of[path]) for path in missing]


def belongs_to_accounts(placed: PlacedFile, homes: Iterable[str]) -> bool:
    """Whether a file can be placed only when the users are there: it has an owner, or lies in a new user's home,
    which useradd fills from /etc/skel only when it makes it."""
    return bool(placed.owner or placed.group) or any(placed.final.startswith(f"{home}/") for home in homes)


def sweep(sandbox: Sandbox, tree: Tree, leftovers: Sequence[str], kept: Iterable[str]) -> None:
    """Remove what matches `leftovers` (globs), but nothing that the template itself put there: the absolute paths
    `kept`. Raises StepError when one of them is removed all the same, under another name."""
    own = {path.lstrip("/") for path in kept}
    before = own & {*sandbox.glob(tree, *map(glob.escape, own))}
    sandbox.edit(tree, [Remove(glob.escape(path)) for path in _unwanted(sandbox, tree, leftovers, own)])
    lost = sorted(before - {*sandbox.glob(tree, *map(glob.escape, before))})
    if lost:
        raise StepError(
            "file-not-kept",
            f"/{lost[0]} was put into the image and is removed again: no image may carry what usually has this name",
            hint="name it by the path that it has without symbolic links",
        )


def _unwanted(sandbox: Sandbox, tree: Tree, patterns: Sequence[str], own: set[str]) -> Iterator[str]:
    """What matches and is neither one of `own` nor a folder that holds one; of such a folder, all the rest."""
    holding: list[str] = []
    for path in sandbox.glob(tree, *patterns):
        if any(mine.startswith(f"{path}/") for mine in own):
            holding.append(f"{glob.escape(path)}/*")
        elif path not in own:
            yield path
    if holding:
        yield from _unwanted(sandbox, tree, holding, own)


def _content(services: Services, placed: PlacedFile) -> bytes:
    source = services.host_files[placed.sha256]
    content = source.read_bytes()
    if hashlib.sha256(content).hexdigest() != placed.sha256:
        raise changed(source)
    return content


def _ids(placed: PlacedFile, known: Databases, key: str) -> tuple[int, int]:
    uid = gid = 0
    if placed.owner is not None:
        uid = _number(placed.owner, {name: entry.uid for name, entry in known.users.items()}, "user", f"{key}.owner")
        gid = next((entry.gid for entry in known.users.values() if entry.uid == uid), 0)
    if placed.group is not None:
        gid = _number(placed.group, known.groups, "group", f"{key}.group")
    return uid, gid


def _number(name: str, known: dict[str, int], kind: str, key: str) -> int:
    if name in known:
        return known[name]
    if name.isdecimal():
        return int(name)
    raise StepError(
        f"no-such-{kind}",
        f"a file should belong to {kind} {name}, which the image does not have",
        hint=did_you_mean(name, known) or f"add it to systemConfig.{kind}s, or the package that makes it",
        key=key,
    )


def _own_parents(placed: PlacedFile, owner: tuple[int, int], known: Databases) -> list[str]:
    """Folders above a file that belong to the file's owner where they are not there yet: those below the user's home,
    or below what the file's folder was put into."""
    homes = (user.home for user in known.users.values() if user.uid == owner[0] != 0)
    above = next((home for home in homes if placed.final.startswith(f"{home}/")), None)
    if placed.folder is not None and owner != (0, 0):
        above = posixpath.dirname(placed.folder)
    folders: list[str] = []
    folder = posixpath.dirname(placed.final)
    while above is not None and len(folder) > len(above) and folder != "/":
        folders.append(folder)
        folder = posixpath.dirname(folder)
    return folders

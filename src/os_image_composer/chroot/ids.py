"""Which ids of the host stand for 0…65535 inside.

An ordinary caller is root inside, and the rest is the range that subuid(5) and subgid(5) give the caller. For a
caller who is root, all of it is a range from the settings, written directly; for root of a container, which has no such
range, it is the container's own ids. The same path otherwise, the same bits.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from os_image_composer.config.id_range import IdRange
from os_image_composer.errors import SandboxError

IDS_INSIDE = 65536
#: Where the uidmap package or its likes put setuid programs; PATH is not asked.
_FOLDERS = ("usr/bin", "bin", "usr/sbin", "usr/local/bin", "run/wrappers/bin")


@dataclass(frozen=True)
class Mapping:
    """`count` ids from `inside` on are those from `outside` on."""

    inside: int
    outside: int
    count: int


@dataclass(frozen=True)
class IdMap:
    """`newuidmap` and `newgidmap` are the programs that write the maps; None means the caller may write them."""

    uids: tuple[Mapping, ...]
    gids: tuple[Mapping, ...]
    newuidmap: Path | None = None
    newgidmap: Path | None = None

    @property
    def root(self) -> tuple[int, int]:
        """uid and gid that root inside has on the host."""
        return self.uids[0].outside, self.gids[0].outside

    @classmethod
    def for_caller(
        cls, root_range: IdRange, uid: int | None = None, gid: int | None = None, host: Path = Path("/")
    ) -> IdMap:
        """Of the caller with these ids, by default this process's effective ones. Raises SandboxError
        `no-subuid-range`, `newuidmap-missing`, `root-range-unsafe`, `root-range-too-small`."""
        uid = os.geteuid() if uid is None else uid
        gid = os.getegid() if gid is None else gid
        if uid == 0:
            return cls._of_root(root_range, host)
        name = user_name(uid, host)
        programs = [find_program(program, host) for program in ("newuidmap", "newgidmap")]
        for program, path in zip(("newuidmap", "newgidmap"), programs, strict=True):
            if path is None:
                raise SandboxError(
                    "newuidmap-missing",
                    f"{program} is not installed",
                    cause="an ordinary user needs it to use more than one id",
                    hint="install it as root: apt install uidmap (Debian, Ubuntu) or dnf install shadow-utils",
                )
        return cls(
            (Mapping(0, uid, 1), *_mappings(host / "etc/subuid", "uid", name, uid)),
            (Mapping(0, gid, 1), *_mappings(host / "etc/subgid", "gid", name, uid)),
            *programs,
        )

    @classmethod
    def _of_root(cls, wanted: IdRange, host: Path) -> IdMap:
        """Of the machine's root, `wanted`. Root of a container has no range of its own to give away: unless the
        container has the ids of `wanted`, they are the container's own 0…65535."""
        if wanted.count < IDS_INSIDE:
            raise SandboxError(
                "root-range-too-small",
                f"the id range for root has {wanted.count} ids and needs {IDS_INSIDE}",
                hint="set a range of 65536 ids in the settings",
            )
        first = _is_first_namespace(host)
        if wanted.start < IDS_INSIDE and first:
            raise SandboxError(
                "root-range-unsafe",
                f"the id range for root starts at {wanted.start}, which real users may have",
                hint="set a range that starts at 65536 or higher and that no user has",
            )
        if first:
            whole = (Mapping(0, wanted.start, IDS_INSIDE),)
            return cls(whole, whole)
        uids, gids = (_of_container(host, kind, wanted.start) for kind in ("uid", "gid"))
        return cls(uids, gids)


def subordinate_ranges(path: Path, name: str, uid: int) -> tuple[IdRange, ...]:
    """What a subuid(5) file gives a user, by name or by number; lines that are not understood are none of ours."""
    ranges = []
    for line in path.read_text(errors="replace").splitlines() if path.is_file() else ():
        owner, *numbers = line.strip().split(":")
        if owner in (name, str(uid)) and len(numbers) == 2 and all(n.isdecimal() for n in numbers):
            ranges.append(IdRange(int(numbers[0]), int(numbers[1])))
    return tuple(ranges)


def find_program(name: str, host: Path = Path("/")) -> Path | None:
    """A program that maps ids, where distributions install it."""
    return next((p for p in (host / folder / name for folder in _FOLDERS) if p.is_file()), None)


def user_name(uid: int, host: Path = Path("/")) -> str:
    """From the host's passwd(5); the number when there is no such line (a directory service, a container)."""
    passwd = host / "etc/passwd"
    for line in passwd.read_text(errors="replace").splitlines() if passwd.is_file() else ():
        fields = line.split(":")
        if len(fields) > 2 and fields[2] == str(uid):
            return fields[0]
    return str(uid)


def _mappings(path: Path, kind: str, name: str, uid: int) -> Iterator[Mapping]:
    """1…65535, from as many ranges as it takes."""
    ranges = subordinate_ranges(path, name, uid)
    inside = 1
    for part in ranges:
        count = min(part.count, IDS_INSIDE - inside)
        if count > 0:
            yield Mapping(inside, part.start, count)
            inside += count
    if inside < IDS_INSIDE:
        raise SandboxError(
            "no-subuid-range",
            f"{name} has {inside - 1} subordinate {kind}s and needs {IDS_INSIDE - 1}",
            cause=f"{path} says so",
            hint=f"as root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {name} "
            "(another range when these are taken)",
        )


def _is_first_namespace(host: Path) -> bool:
    """The first user namespace maps every id to itself: user_namespaces(7)."""
    return _own_map(host, "uid") in ([], [["0", "0", "4294967295"]])


def _of_container(host: Path, kind: str, start: int) -> tuple[Mapping, ...]:
    """The ids from `start` on, else from 0 on, that this process's user namespace has. Raises SandboxError."""
    for begin in (start, 0):
        mappings: list[Mapping] = []
        position = begin
        # One of our ranges may not span two of the namespace's: user_namespaces(7), "range of user IDs".
        for first, _, count in sorted((int(i), int(o), int(c)) for i, o, c in _own_map(host, kind)):
            if first <= position < min(first + count, begin + IDS_INSIDE):
                part = min(first + count, begin + IDS_INSIDE) - position
                mappings.append(Mapping(position - begin, position, part))
                position += part
        if position == begin + IDS_INSIDE:
            return tuple(mappings)
    raise SandboxError(
        "too-few-ids",
        f"this container has less than {IDS_INSIDE} {kind}s",
        cause=f"/proc/self/{kind}_map says so",
        hint="on its host, give the user who starts it 65536 subordinate ids; see docs/containers.md",
    )


def _own_map(host: Path, kind: str) -> list[list[str]]:
    try:
        text = (host / f"proc/self/{kind}_map").read_text()
    except OSError:
        return []
    return [fields for line in text.splitlines() if len(fields := line.split()) == 3]

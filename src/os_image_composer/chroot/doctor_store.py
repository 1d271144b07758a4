"""Can the store hold layers, and is there room? By trying it where that is possible, else by the filesystem's name."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from os_image_composer.build.scratch import Scratch
from os_image_composer.chroot.check import Check, HostFacts, State
from os_image_composer.chroot.ids import IdMap
from os_image_composer.chroot.sandbox import Sandbox
from os_image_composer.chroot.self_test import first_failure

MEND_STORE = "set cache_dir to a folder on ext4, xfs or btrfs"
_GOOD = ("ext3", "ext4", "xfs", "btrfs", "f2fs", "tmpfs")
_BAD = ("overlay", "nfs", "nfs4", "cifs", "9p", "virtiofs", "vfat", "exfat", "fuseblk", "ecryptfs", "ramfs")


def try_store(host: HostFacts, temporary: Path, ids: IdMap) -> Check:
    """Layers, owners, setuid programs and removals, tried in `temporary` (made when it is missing)."""
    name = "store"
    try:
        temporary.mkdir(parents=True, exist_ok=True)
        with Scratch(temporary, Sandbox(ids, temporary).remove).folder() as folder:
            failed = first_failure(Sandbox(ids, folder), folder)
    except OSError as error:
        writable = "set cache_dir, or give --cache-dir, to a folder you can write"
        return Check(name, State.FAILED, f"{temporary} cannot be written: {error.strerror}", writable)
    if failed is None:
        return Check(name, State.OK, f"{filesystem(host, temporary.resolve())} at {temporary}, tried")
    known = store_by_name(host, temporary)
    mend = failed.mend if known.state is State.OK else MEND_STORE
    return Check(name, State.FAILED, f"{known.found}: {failed.found}", mend)


def store_by_name(host: HostFacts, store: Path) -> Check:
    """What is known about the filesystem, for a host on which nothing can be tried yet."""
    name, folder = "store", existing(store)
    kind = filesystem(host, folder.resolve())
    if kind in _BAD:
        return Check(name, State.FAILED, f"{kind} cannot hold layers ({folder})", MEND_STORE)
    if kind == "tmpfs" and _version(host.kernel) < (6, 6):
        return Check(name, State.FAILED, f"tmpfs cannot hold layers before Linux 6.6 ({folder})", MEND_STORE)
    if kind not in _GOOD:
        return Check(name, State.WARNING, f"{kind} was not tried ({folder})", "prove it: doctor --self-test")
    return Check(name, State.OK, f"{kind} at {folder}")


def examine_space(places: Sequence[tuple[str, Path, int]]) -> Iterator[Check]:
    """Free space (bytes) where it will be needed: of each place its setting, its folder, and what a first image
    takes there. Places on one filesystem are one."""
    seen: dict[int, tuple[list[str], Path, int]] = {}
    for setting, place, needed in places:
        folder = existing(place)
        device = folder.stat().st_dev
        names, first, sum_ = seen.get(device, ([], folder, 0))
        seen[device] = ([*names, setting], first, sum_ + needed)
    for names, folder, needed in seen.values():
        free = shutil.disk_usage(folder).free
        found = f"{free / (1 << 30):.1f} GiB free at {folder} ({', '.join(names)})"
        if free < needed:
            mend = f"free {-(-needed >> 30)} GiB there, or set {' and '.join(names)} to a larger filesystem"
            yield Check("disk space", State.WARNING, found, mend)
        else:
            yield Check("disk space", State.OK, found)


def existing(path: Path) -> Path:
    """The nearest folder on the way up that is there."""
    return next(p for p in (path, *path.parents) if p.is_dir())


def filesystem(host: HostFacts, folder: Path) -> str:
    """The type of the mount that holds `folder`: proc(5), mountinfo. Of equal ones the last is on top. Its options do
    not matter: an overlay of noexec or nosuid folders has neither (seen with Linux 6.18)."""
    best, found = -1, "unknown"
    for line in (host.text("proc/self/mountinfo") or "").splitlines():
        fields = line.split(" ")
        if len(fields) < 9 or "-" not in fields:
            continue
        point = Path(re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), fields[4]))
        if folder.is_relative_to(point) and len(point.parts) >= best:
            best = len(point.parts)
            found = fields[fields.index("-") + 1]
    return found


def _version(kernel: str) -> tuple[int, int]:
    match = re.match(r"(\d+)\.(\d+)", kernel)
    return (int(match[1]), int(match[2])) if match else (0, 0)

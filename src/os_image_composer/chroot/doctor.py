"""Can this host build images, and which command mends it where it cannot? Reads, and changes nothing.

`chroot.self_test` proves the same by doing it.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from os_image_composer.chroot.ids import IdMap, find_program
from os_image_composer.config.settings import IdRange
from os_image_composer.errors import SandboxError

_OLDEST_PYTHON = (3, 11)
_FIRMWARE = (
    "usr/share/OVMF/OVMF_CODE_4M.fd",
    "usr/share/OVMF/OVMF_CODE.fd",
    "usr/share/edk2/ovmf/OVMF_CODE.fd",
    "usr/share/edk2/x64/OVMF_CODE.4m.fd",
    "usr/share/qemu/ovmf-x86_64-4m-code.bin",
)
_FOLDERS = ("usr/bin", "usr/local/bin", "bin", "usr/libexec")
_CAP_SETUID = 7
_CAP_SETGID = 6


class State(Enum):
    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True)
class Check:
    """One thing looked at: what was found, and the command that mends it where it is not `OK`."""

    name: str
    state: State
    found: str
    mend: str | None = None


@dataclass(frozen=True)
class HostFacts:
    """The host as it is looked at: `root` is where its files are, the rest describes the caller."""

    root: Path = Path("/")
    uid: int = 0
    gid: int = 0
    python: tuple[int, int, int] = (3, 11, 0)
    kernel: str = ""  # as uname -r says it

    @classmethod
    def of_this_process(cls) -> HostFacts:
        version = (sys.version_info.major, sys.version_info.minor, sys.version_info.micro)
        return cls(Path("/"), os.geteuid(), os.getegid(), version, os.uname().release)

    def text(self, path: str) -> str | None:
        """A small file of the host, stripped; None when it cannot be read."""
        try:
            return (self.root / path).read_text(errors="replace").strip()
        except OSError:
            return None


def examine(host: HostFacts, store: Path, root_range: IdRange, needed_bytes: int = 10 << 30) -> tuple[Check, ...]:
    """All checks, in the order in which to mend. `store` is where layers will be (it need not exist yet),
    `needed_bytes` the free space for a first image with its cache."""
    return (
        _python(host),
        *_namespaces(host),
        _privileges(host),
        _ids(host, root_range),
        *_newuidmap(host),
        *_store(host, store, needed_bytes),
        _qemu(host),
        _firmware(host),
    )


def _python(host: HostFacts) -> Check:
    found = ".".join(map(str, host.python))
    if host.python[:2] >= _OLDEST_PYTHON:
        return Check("python", State.OK, found)
    return Check("python", State.FAILED, f"{found}, and 3.11 is the oldest", "install python3.11 or newer")


def _namespaces(host: HostFacts) -> Iterator[Check]:
    name = "user namespaces"
    most = host.text("proc/sys/user/max_user_namespaces")
    if most is None:
        yield Check(name, State.FAILED, "this kernel has none", "use a kernel with CONFIG_USER_NS")
        return
    if most == "0":
        yield Check(name, State.FAILED, "user.max_user_namespaces is 0", "sysctl -w user.max_user_namespaces=65536")
        return
    if host.uid != 0 and host.text("proc/sys/kernel/unprivileged_userns_clone") == "0":
        mend = "sysctl -w kernel.unprivileged_userns_clone=1"
        yield Check(name, State.FAILED, "kept for root by kernel.unprivileged_userns_clone", mend)
        return
    if host.uid != 0 and host.text("proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1":
        mend = "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
        yield Check(name, State.FAILED, "without rights, by AppArmor", mend)
        return
    yield Check(name, State.OK, f"up to {most}")


def _privileges(host: HostFacts) -> Check:
    status = host.text("proc/self/status") or ""
    if re.search(r"^NoNewPrivs:\s*1$", status, re.MULTILINE) and host.uid != 0:
        mend = "NoNewPrivileges=no in the unit, or allowPrivilegeEscalation: true in the pod"
        return Check("privileges", State.FAILED, "NO_NEW_PRIVS is set, so newuidmap is without effect", mend)
    return Check("privileges", State.OK, "new ones can be had")


def _ids(host: HostFacts, root_range: IdRange) -> Check:
    try:
        ids = IdMap.for_caller(root_range, host.uid, host.gid, host.root)
    except SandboxError as error:
        if error.reference == "newuidmap-missing":
            return Check("subordinate ids", State.WARNING, "not looked at without newuidmap", "see newuidmap")
        return Check("subordinate ids", State.FAILED, error.message, error.hint)
    last = ids.uids[-1]
    return Check("subordinate ids", State.OK, f"{last.count} from {last.outside}")


def _newuidmap(host: HostFacts) -> Iterator[Check]:
    """Setuid root (Debian) or file capabilities (Fedora, Arch)."""
    if host.uid == 0:
        return
    for name, capability in (("newuidmap", _CAP_SETUID), ("newgidmap", _CAP_SETGID)):
        path = find_program(name, host.root)
        if path is None:
            mend = "apt install uidmap (Debian, Ubuntu), dnf install shadow-utils (Fedora)"
            yield Check(name, State.FAILED, "not installed", mend)
        elif path.stat().st_mode & stat.S_ISUID:
            yield Check(name, State.OK, f"{path}, setuid")
        elif _has_capability(path, capability):
            yield Check(name, State.OK, f"{path}, with file capabilities")
        else:
            yield Check(name, State.FAILED, f"{path} is not setuid", f"chmod u+s {path}")


def _has_capability(path: Path, number: int) -> bool:
    """capabilities(7), struct vfs_cap_data: the permitted set's low word is the second."""
    try:
        value = os.getxattr(path, "security.capability")
    except OSError:
        return False
    return len(value) >= 8 and bool(int.from_bytes(value[4:8], "little") & 1 << number)


def _store(host: HostFacts, store: Path, needed_bytes: int) -> Iterator[Check]:
    folder = next(p for p in (store, *store.parents) if p.is_dir())
    kind, options = _filesystem(host, folder.resolve())
    yield _filesystem_check(host, folder, kind, options)
    free = shutil.disk_usage(folder).free
    found = f"{free / (1 << 30):.1f} GiB free at {folder}"
    if free < needed_bytes:
        mend = f"free {needed_bytes >> 30} GiB there, or set cache_dir to a larger filesystem"
        yield Check("disk space", State.WARNING, found, mend)
    else:
        yield Check("disk space", State.OK, found)


def _filesystem_check(host: HostFacts, folder: Path, kind: str, options: tuple[str, ...]) -> Check:
    name, mend = "store", "set cache_dir to a folder on ext4, xfs or btrfs"
    if "noexec" in options:
        return Check(name, State.FAILED, f"{folder} is mounted noexec", mend)
    if kind in ("overlay", "nfs", "nfs4", "cifs", "9p", "virtiofs", "vfat", "exfat", "fuseblk", "ecryptfs"):
        return Check(name, State.FAILED, f"{kind} cannot hold layers ({folder})", mend)
    if kind == "tmpfs" and _version(host.kernel) < (6, 6):
        return Check(name, State.FAILED, f"tmpfs cannot hold layers before Linux 6.6 ({folder})", mend)
    if kind not in ("ext4", "xfs", "btrfs", "tmpfs", "f2fs", "ext3"):
        return Check(name, State.WARNING, f"{kind} was not tried ({folder})", "prove it: doctor --self-test")
    return Check(name, State.OK, f"{kind} at {folder}")


def _filesystem(host: HostFacts, folder: Path) -> tuple[str, tuple[str, ...]]:
    """Type and options of the mount that holds `folder`: proc(5), mountinfo. Of equal ones the last is on top."""
    best, found = -1, ("unknown", ())
    for line in (host.text("proc/self/mountinfo") or "").splitlines():
        fields = line.split(" ")
        if len(fields) < 9 or "-" not in fields:
            continue
        point = Path(re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), fields[4]))
        if folder.is_relative_to(point) and len(point.parts) >= best:
            best = len(point.parts)
            found = (fields[fields.index("-") + 1], tuple(fields[5].split(",")))  # type: ignore[assignment]
    return found


def _version(kernel: str) -> tuple[int, int]:
    match = re.match(r"(\d+)\.(\d+)", kernel)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def _qemu(host: HostFacts) -> Check:
    places = (host.root / folder / "qemu-system-x86_64" for folder in _FOLDERS)
    found = next((path for path in places if path.is_file()), None)
    if found:
        return Check("qemu", State.OK, str(found))
    mend = "apt install qemu-system-x86 (Debian, Ubuntu), dnf install qemu-system-x86-core (Fedora)"
    return Check("qemu", State.WARNING, "not installed: images can be built, but not booted", mend)


def _firmware(host: HostFacts) -> Check:
    found = next((host.root / path for path in _FIRMWARE if (host.root / path).is_file()), None)
    if found:
        return Check("uefi firmware", State.OK, str(found))
    mend = "apt install ovmf (Debian, Ubuntu), dnf install edk2-ovmf (Fedora)"
    return Check("uefi firmware", State.WARNING, "not installed: images can be built, but not booted", mend)

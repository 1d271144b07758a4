"""Can this host isolate programs, and which command mends it where it cannot? Reads, and changes nothing.

`chroot.trial` proves the same by doing it. Whether the Ubuntu verdict (AppArmor) is right was never seen on Ubuntu.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from os_image_composer.chroot.check import Check, HostFacts, State
from os_image_composer.chroot.ids import IdMap, find_program
from os_image_composer.config.id_range import IdRange
from os_image_composer.errors import SandboxError

_OLDEST_PYTHON = (3, 11)
_CAP_SETUID = 7
_CAP_SETGID = 6


def examine_host(host: HostFacts, root_range: IdRange) -> tuple[Check, ...]:
    """What the sandbox needs of the host, in the order in which to mend."""
    return (_python(host), *examine_namespaces(host), _ids(host, root_range))


def examine_namespaces(host: HostFacts) -> tuple[Check, ...]:
    """Of that what no setting of ours has a say in."""
    return (*_namespaces(host), _privileges(host), *_newuidmap(host))


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

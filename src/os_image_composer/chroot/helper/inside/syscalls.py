"""System calls that Python's `os` does not have in 3.11, by way of the C library."""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct

MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 0x40000
MNT_DETACH = 0x2

CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_NAME = 15
PR_CAPBSET_DROP = 24
CAP_SYS_ADMIN = 21
CAP_MKNOD = 27

_SYS_KEYCTL = {"x86_64": 250, "aarch64": 219}
_KEYCTL_JOIN_SESSION_KEYRING = 1
_SYS_MOUNT_SETATTR = 442  # one number for all architectures (Linux 5.12)
_AT_EMPTY_PATH = 0x1000
_AT_RECURSIVE = 0x8000
_MOUNT_ATTR_RDONLY = 0x1
_LINUX_CAPABILITY_VERSION_3 = 0x20080522
_SIOCGIFFLAGS = 0x8913
_SIOCSIFFLAGS = 0x8914
_IFF_UP = 0x1

_libc = ctypes.CDLL(None, use_errno=True)


def _checked(result: int, call: str) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{call}: {os.strerror(number)}")


def unshare(flags: int) -> None:
    _checked(_libc.unshare(ctypes.c_int(flags)), "unshare")


def mount(source: str, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    _checked(
        _libc.mount(
            os.fsencode(source),
            os.fsencode(target),
            kind.encode() if kind else None,
            ctypes.c_ulong(flags),
            os.fsencode(data) if data is not None else None,
        ),
        f"mount {kind or 'bind'} at {target}",
    )


def umount(target: str, flags: int = MNT_DETACH) -> None:
    _checked(_libc.umount2(os.fsencode(target), ctypes.c_int(flags)), f"umount {target}")


def pivot_root(new: str, old: str) -> None:
    _checked(_libc.pivot_root(os.fsencode(new), os.fsencode(old)), "pivot_root")


def make_read_only(fd: int) -> None:
    """A mount and all below it become read-only; other (perhaps locked) flags stay as they are: mount_setattr(2)."""
    attributes = struct.pack("QQQQ", _MOUNT_ATTR_RDONLY, 0, 0, 0)
    _checked(
        _libc.syscall(
            ctypes.c_long(_SYS_MOUNT_SETATTR),
            ctypes.c_int(fd),
            b"",
            ctypes.c_uint(_AT_EMPTY_PATH | _AT_RECURSIVE),
            attributes,
            ctypes.c_size_t(len(attributes)),
        ),
        "mount_setattr",
    )


def die_with_parent(signal_number: int) -> None:
    _checked(_libc.prctl(PR_SET_PDEATHSIG, ctypes.c_ulong(signal_number), 0, 0, 0), "prctl")


def undumpable() -> None:
    """Shut /proc/PID/fd and the like of this process to everybody without CAP_SYS_PTRACE in the host's user
    namespace, which nobody inside has: PR_SET_DUMPABLE in prctl(2), ptrace(2) "access mode checking"."""
    _checked(_libc.prctl(PR_SET_DUMPABLE, ctypes.c_ulong(0), 0, 0, 0), "prctl")


def leave_caller() -> None:
    """What a process inherits and no namespace takes away: an execution domain in which uname(2) says another machine
    or release (personality(2)), the keys of the caller's session (session-keyring(7)), and, for all to read, the name
    and the command line of this very process, which has paths of the host in it (proc_pid_cmdline(5))."""
    _checked(_libc.personality(ctypes.c_ulong(0)), "personality")
    number = _SYS_KEYCTL.get(os.uname().machine)
    if number is not None:  # kernels can be built, and containers set up, without keyrings: then there is none to leave
        _libc.syscall(ctypes.c_long(number), ctypes.c_int(_KEYCTL_JOIN_SESSION_KEYRING), None)
    _checked(_libc.prctl(PR_SET_NAME, b"build", 0, 0, 0), "prctl")
    with open("/proc/self/stat") as file:
        fields = file.read().rpartition(")")[2].split()  # the third field on: arg_start and arg_end are 48 and 49
    start, end = int(fields[45]), int(fields[46])
    if 0 < start < end:
        ctypes.memset(start, 0, end - start)


def drop(*capabilities: int) -> None:
    """They leave the bounding set and the process's own sets: capset(2), version 3 (two 32-bit words, of which the
    first has the capabilities below 32)."""
    gone = 0
    for number in capabilities:
        _checked(_libc.prctl(PR_CAPBSET_DROP, ctypes.c_ulong(number), 0, 0, 0), "prctl")
        gone |= 1 << number
    header = struct.pack("Ii", _LINUX_CAPABILITY_VERSION_3, 0)
    data = ctypes.create_string_buffer(24)
    _checked(_libc.capget(header, data), "capget")
    words = list(struct.unpack("6I", data.raw))
    words[:3] = [word & ~gone for word in words[:3]]
    _checked(_libc.capset(header, struct.pack("6I", *words)), "capset")


def set_names(host: bytes, domain: bytes) -> None:
    _checked(_libc.sethostname(host, ctypes.c_size_t(len(host))), "sethostname")
    _checked(_libc.setdomainname(domain, ctypes.c_size_t(len(domain))), "setdomainname")


def loopback_up() -> None:
    """Bring `lo` up: netdevice(7), struct ifreq (16 bytes of name, then flags)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as door:
        request = bytearray(struct.pack("16sh22x", b"lo", 0))
        fcntl.ioctl(door, _SIOCGIFFLAGS, request)
        (flags,) = struct.unpack_from("h", request, 16)
        struct.pack_into("h", request, 16, flags | _IFF_UP)
        fcntl.ioctl(door, _SIOCSIFFLAGS, bytes(request))

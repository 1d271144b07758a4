"""Enter a user and a mount namespace, with every source open and all ids mapped.

A second process stays outside with the caller's credentials. It opens the sources through /proc/PID/root, so that
they belong to the new mount namespace (only its own mounts may be bound or be layers) although the caller's rights,
not those of the mapped ids, decided whether they may be opened. It then maps the ids and ends.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
from collections.abc import Sequence

from . import syscalls
from .request import Ids, Refused

_BATCH = 200  # SCM_MAX_FD is 253: unix(7)


def enter(ids: Ids, sources: Sequence[str]) -> list[int]:
    """Become root inside; gives one O_PATH descriptor a source, in order."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    target = os.getpid()
    outside = os.fork()
    if outside == 0:
        ours.close()
        _serve(theirs, target, ids, sources)
        os._exit(0)
    theirs.close()
    try:
        _unshare_user()
        ours.send(b"go")
        fds = _receive(ours, len(sources))
    finally:
        ours.close()
        os.waitpid(outside, 0)
    os.setgroups([])
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    return fds


def isolate(network: bool) -> None:
    """The other namespaces; the PID namespace takes effect with the next child."""
    flags = syscalls.CLONE_NEWPID | syscalls.CLONE_NEWIPC | syscalls.CLONE_NEWUTS
    if not network:
        flags |= syscalls.CLONE_NEWNET
    try:
        syscalls.unshare(flags)
    except OSError as error:
        raise Refused("no-namespaces", "the host refuses namespaces inside a user namespace", str(error)) from None
    with contextlib.suppress(OSError):  # hides names of the host's groups; kernels can be built without
        syscalls.unshare(syscalls.CLONE_NEWCGROUP)


def _unshare_user() -> None:
    try:
        syscalls.unshare(syscalls.CLONE_NEWUSER | syscalls.CLONE_NEWNS)
    except OSError as error:
        cause = {errno.ENOSPC: "user.max_user_namespaces is too low"}.get(error.errno or 0, str(error))
        raise Refused("no-user-namespaces", "the host refuses user namespaces", cause) from None


def _receive(door: socket.socket, count: int) -> list[int]:
    fds: list[int] = []
    while True:
        message, received, _, _ = socket.recv_fds(door, 65536, _BATCH)
        for fd in received:
            os.set_inheritable(fd, False)  # Python 3.11 does not pass MSG_CMSG_CLOEXEC on
        fds += received
        if not message:
            raise Refused("sandbox-failed", "the helper's outer half ended")
        if message == b"fds":
            continue
        answer = json.loads(message)
        if "reference" in answer:
            raise Refused(answer["reference"], answer["message"], answer["cause"])
        if len(fds) != count:
            raise Refused("sandbox-failed", "file descriptors were lost", f"{len(fds)} of {count}")
        return fds


def _serve(door: socket.socket, target: int, ids: Ids, sources: Sequence[str]) -> None:
    if not door.recv(16):
        return  # no namespace, so nothing to map; the other half says why
    try:
        for first in range(0, len(sources), _BATCH):
            fds = [_open(target, path) for path in sources[first : first + _BATCH]]
            socket.send_fds(door, [b"fds"], fds)
            for fd in fds:
                os.close(fd)
        _map_ids(target, ids)
        answer: dict[str, str | None] = {}
    except Refused as error:
        answer = {"reference": error.reference, "message": error.message, "cause": error.cause}
    except Exception as error:
        answer = {"reference": "sandbox-failed", "message": "the helper's outer half failed", "cause": str(error)}
    door.send(json.dumps(answer).encode())


def _open(target: int, path: str) -> int:
    try:
        # The path is resolved already: a symlink in it would be followed outside the new mount namespace.
        return os.open(f"/proc/{target}/root{path}", os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise Refused("source-missing", f"{path} cannot be opened", error.strerror) from None


def _map_ids(target: int, ids: Ids) -> None:
    if not ids["newuidmap"]:
        try:
            for name, ranges in (("uid_map", ids["uid"]), ("gid_map", ids["gid"])):
                text = "".join(" ".join(map(str, r)) + "\n" for r in ranges)
                with open(f"/proc/{target}/{name}", "w") as file:
                    file.write(text)
        except OSError as error:
            raise Refused("id-range-refused", "the kernel refuses the id range", str(error)) from None
        return
    running = [
        _start([ids["newuidmap"], str(target), *(str(n) for r in ids["uid"] for n in r)]),
        _start([ids["newgidmap"], str(target), *(str(n) for r in ids["gid"] for n in r)]),
    ]
    for program, pid, reader in running:
        with open(reader, "rb") as stream:
            said = stream.read().decode("utf-8", "replace").strip()
        _, status = os.waitpid(pid, 0)
        if status != 0:
            raise Refused(_why_no_map(), f"{program} failed", said or f"wait status {status}")


def _start(argv: list[str]) -> tuple[str, int, int]:
    reader, writer = os.pipe()
    actions = [(os.POSIX_SPAWN_DUP2, writer, 1), (os.POSIX_SPAWN_DUP2, writer, 2)]
    try:
        pid = os.posix_spawn(argv[0], argv, {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}, file_actions=actions)
    except OSError as error:
        raise Refused("newuidmap-missing", f"{argv[0]} cannot be run", error.strerror) from None
    os.close(writer)
    return argv[0], pid, reader


def _why_no_map() -> str:
    """newuidmap is setuid or has file capabilities; both are without effect under NO_NEW_PRIVS: prctl(2)."""
    with open("/proc/self/status") as file:
        return "no-new-privs" if "NoNewPrivs:\t1\n" in file.read() else "newuidmap-failed"

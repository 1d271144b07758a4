"""One job of the sandbox, from request to report.

    python -I FOLDER LIFELINE REPORT      (both are numbers of inherited descriptors)

This process enters the user and mount namespaces and stays their keeper; its child is PID 1 inside and builds the
mounts; PID 1's child is the program, or does the verb.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import resource
import signal
import sys
from collections.abc import Callable, Sequence

from . import init, mounts, namespaces, syscalls, walk
from .request import Channel, Request

Verb = Callable[[Request, Sequence[int], Channel], None]

#: Verb → the module that has it. Imported before ids are switched.
_VERBS = {
    "unpack": "unpack",
    "archive": "archive",
    "digest": "digest",
    "entries": "digest",
    "fingerprint": "digest",
    "survey": "digest",
    "cpio": "cpio",
    "listing": "digest",
    "remove": "layers",
    "project": "layers",
    "edit": "files",
    "read": "files",
    "glob": "files",
}


def main() -> None:
    lifeline, report = int(sys.argv[1]), int(sys.argv[2])
    os.set_inheritable(lifeline, False)
    os.set_inheritable(report, False)
    sys.setrecursionlimit(20_000)  # one frame or two for a directory's depth
    data = os.fdopen(0, "rb", buffering=1 << 18, closefd=False)
    channel = Channel(data, report)
    try:
        request: Request = json.loads(data.readline())
        verb = _verb(request["verb"])
        _import_no_more()
        fds = namespaces.enter(request["ids"], _raise_limit(request["sources"]))
        namespaces.isolate(request["network"])
    except Exception as error:
        channel.refuse(error)
        os._exit(1)
    first = os.fork()
    if first == 0:
        status = 1
        try:
            status = _inside(request, fds, channel, lifeline, verb)
        except Exception as error:
            channel.refuse(error)
        finally:
            os._exit(status)
    os.close(lifeline)
    os.waitpid(first, 0)
    if request["scratch"] is not None:
        with contextlib.suppress(OSError):
            syscalls.umount("/")
        with contextlib.suppress(OSError):  # what is left, the build process removes or reports
            _clear(fds[request["scratch"]])
    os._exit(0)


def _verb(name: str) -> Verb | None:
    if name == "run":
        return None
    verb: Verb = getattr(importlib.import_module(f".{_VERBS[name]}", __package__), name)
    return verb


def _import_no_more() -> None:
    """From here on an import could only fail, or, with the tree as root directory, run code of the tree."""
    sys.path.clear()
    sys.path_importer_cache.clear()


def _raise_limit(sources: list[str]) -> list[str]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return sources


def _inside(request: Request, fds: Sequence[int], channel: Channel, lifeline: int, verb: Verb | None) -> int:
    """As PID 1."""
    syscalls.die_with_parent(signal.SIGKILL)
    os.setsid()
    os.umask(0)
    syscalls.set_names(b"localhost", b"(none)")
    syscalls.leave_caller()
    if not request["network"]:
        syscalls.loopback_up()
    if request["root"] is not None:
        mounts.Builder(request, fds).build(request["root"])
    # A program that may mount could mount anew for writing what it was given to read: the package cache, for one. In a
    # further user namespace of its own it may, but the kernel holds the flags of mounts that it brings along:
    # mount_namespaces(7), "Restrictions on mount namespaces".
    syscalls.drop(syscalls.CAP_MKNOD, *((syscalls.CAP_SYS_ADMIN,) if verb is None else ()))
    stdin = channel.receive(request["stdin_size"]) if request["stdin_size"] else b""

    def work() -> int:
        if verb is None:
            return init.run_program(channel, request["argv"], request["env"], request["cwd"], stdin)
        try:
            verb(request, fds, channel)
        except (Exception, RecursionError) as error:
            channel.refuse(error)
            return 1
        return 0

    if verb is None:
        _shut(fds, (lifeline, channel.report, channel.data.fileno()))
    status = init.watch(lifeline, work)
    channel.tell({"status": status})
    return 0


def _shut(fds: Sequence[int], needed: Sequence[int]) -> None:
    """Close what leads out of the tree before a program runs: it is root in this namespace and could follow
    /proc/1/fd. What is still needed is out of its reach, as this process is no longer dumpable."""
    for fd in range(3, max((*fds, *needed)) + 64):
        if fd not in needed:
            with contextlib.suppress(OSError):
                os.close(fd)
    syscalls.undumpable()


def _clear(scratch: int) -> None:
    folder = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=scratch)
    try:
        walk.clear(folder)
    finally:
        os.close(folder)

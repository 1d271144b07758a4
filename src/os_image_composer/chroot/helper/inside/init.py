"""PID 1 of the sandbox and the program below it."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import select
import signal
from collections.abc import Callable, Mapping, Sequence

from .request import Channel, Refused

_ENVIRONMENT = {
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LC_ALL": "C.UTF-8",
    "TZ": "UTC",
}
_OPEN_FILES = 1024
_STACK = 8 << 20


def watch(lifeline: int, work: Callable[[], int]) -> int:
    """Run `work` in a child, reap everything, end with it: gives its status (128 + signal when killed).

    The lifeline's other end is held by the build process alone; at its end of file PID 1 ends, and the kernel
    kills everything in the PID namespace with it, also what has left its session: pid_namespaces(7).
    """
    woken, wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    child = os.fork()
    if child == 0:
        signal.set_wakeup_fd(-1)
        status = 125
        try:
            status = work()
        finally:
            os._exit(status)
    poll = select.poll()
    poll.register(lifeline, select.POLLIN)
    poll.register(woken, select.POLLIN)
    while True:
        ready = {fd for fd, _ in poll.poll()}
        if lifeline in ready:
            os._exit(137)
        with contextlib.suppress(BlockingIOError):
            os.read(woken, 4096)
        ended = _reap(child)
        if ended is not None:
            break
    with contextlib.suppress(ProcessLookupError):
        os.kill(-1, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        while True:
            os.wait()
    return ended


def _reap(child: int) -> int | None:
    status = None
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, wait_status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            if pid == child:
                code = os.waitstatus_to_exitcode(wait_status)
                status = code if code >= 0 else 128 - code
    return status


def run_program(channel: Channel, argv: Sequence[str], env: Mapping[str, str], cwd: str, stdin: bytes) -> int:
    """Become the program, with nothing inherited but its output: every other descriptor of this process closes
    itself (PEP 446). Comes back only when the program cannot be started."""
    try:
        os.chdir(cwd)
        os.setsid()
        os.umask(0o022)
        _limits()
        _signals()
        source = os.memfd_create("stdin") if stdin else os.open("/dev/null", os.O_RDONLY)
        view = memoryview(stdin)
        while view:
            view = view[os.write(source, view) :]
        if stdin:
            os.lseek(source, 0, os.SEEK_SET)
        os.dup2(source, 0)
        _execute(argv, {**_ENVIRONMENT, **env})
    except FileNotFoundError as error:
        channel.refuse(Refused("program-missing", f"{argv[0]} cannot be run in the tree", _named(error)))
    except OSError as error:
        channel.refuse(Refused("program-not-started", f"{argv[0]} cannot be run in the tree", _named(error)))
    except Exception as error:
        channel.refuse(error)
    return 127


def _execute(argv: Sequence[str], env: Mapping[str, str]) -> None:
    """As execvp(3). os.execvpe imports a module on the way, which is out of reach by now."""
    if "/" in argv[0]:
        os.execve(argv[0], list(argv), env)  # noqa: S606
    found: OSError | None = None
    for folder in env["PATH"].split(":"):
        try:
            os.execve(os.path.join(folder, argv[0]), list(argv), env)  # noqa: S606
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            found = found or error
    raise found or FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))


def _named(error: OSError) -> str:
    return f"{error.strerror}: {error.filename}" if error.filename else str(error.strerror)


def _limits() -> None:
    """1024 descriptors: some programs close each one they might have. A stack of 8 MiB, of which a quarter is what
    xargs(1) puts into one command (execve(2)). No core file may end in a layer."""
    for limit, usual in ((resource.RLIMIT_NOFILE, _OPEN_FILES), (resource.RLIMIT_STACK, _STACK)):
        _, hard = resource.getrlimit(limit)
        resource.setrlimit(limit, (usual if hard == resource.RLIM_INFINITY else min(usual, hard), hard))
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))


def _signals() -> None:
    """Python ignores SIGPIPE; a `nohup` around the build ignores SIGHUP: neither is for the program."""
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        with contextlib.suppress(OSError, ValueError):
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])

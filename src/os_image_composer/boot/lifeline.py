"""Run a program that ends with its starter, however that ends. Standard library only, run as a file.

    python -I lifeline.py PROGRAM ARGUMENT…

Standard input is the lifeline: the starter holds its other end, and the kernel closes that at the latest when
the starter dies. At end of file the program is killed. PR_SET_PDEATHSIG alone is not enough in the starter: it
fires when the *thread* that started the program ends, and not at all for a grandchild (prctl(2)). Here there is
one thread and one child, so it covers a killed lifeline as well.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(argv: list[str]) -> int:
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(137)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        try:
            os.execv(argv[0], argv)  # noqa: S606 (that it starts no shell is the point)
        except OSError as error:
            os.write(2, f"{argv[0]}: {error.strerror}\n".encode())
            os._exit(127)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))  # the ends of sockets that belong to the program alone
    ended = os.pidfd_open(child)
    poll = select.poll()
    poll.register(0, select.POLLIN)
    poll.register(ended, select.POLLIN)
    while True:
        ready = {fd for fd, _ in poll.poll()}
        if ended in ready:
            break
        if not os.read(0, 1):
            os.kill(child, signal.SIGKILL)
            break
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

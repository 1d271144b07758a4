"""The one door to programs of the host: argument lists, an explicit environment, no shell.

A program starts in a session of its own, so that a Ctrl-C at the terminal reaches the build alone, and is killed
with its whole process group. Both its streams are one.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from os_image_composer.build.clock import Clock, SystemClock
from os_image_composer.chroot.job import Completed
from os_image_composer.errors import SandboxError, StepError

OUTPUT_LIMIT = 8 << 20
_LONGEST_LINE = 1 << 16


class Process:
    """A running program. As a context manager it is dead and reaped at the end."""

    def __init__(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        stdin: int | IO[bytes] = subprocess.DEVNULL,
        cwd: Path | None = None,
        keep: Sequence[int] = (),
        clock: Clock | None = None,
    ) -> None:
        """`stdin` is a descriptor, a file, or subprocess.PIPE; the descriptors `keep` are inherited.
        Raises SandboxError `program-missing`."""
        self._clock = clock or SystemClock()
        try:
            self._child = subprocess.Popen(
                list(argv),
                env=dict(env),
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd=cwd,
                pass_fds=tuple(keep),
                start_new_session=True,
                bufsize=0,
            )
        except OSError as error:
            raise SandboxError(
                "program-missing", f"{argv[0]} cannot be started", cause=error.strerror, hint="run `doctor`"
            ) from error

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def input(self) -> IO[bytes]:
        """What the program reads, when it was started with subprocess.PIPE."""
        assert self._child.stdin is not None
        return self._child.stdin

    @property
    def output(self) -> IO[bytes]:
        assert self._child.stdout is not None
        return self._child.stdout

    def chunks(self, seconds: float | None = None) -> Iterator[bytes]:
        """What it prints, as it comes, until it has closed its output. Raises TimeoutError after `seconds`."""
        end = None if seconds is None else self._clock.elapsed() + seconds
        poll = select.poll()
        poll.register(self.output, select.POLLIN)
        while True:
            left = None if end is None else max(0.0, end - self._clock.elapsed()) * 1000
            if not poll.poll(left):
                raise TimeoutError(f"no end after {seconds} s")
            chunk = os.read(self.output.fileno(), 1 << 16)
            if not chunk:
                return
            yield chunk

    def lines(self, seconds: float | None = None) -> Iterator[str]:
        """The same, line by line."""
        splitter = LineSplitter()
        for chunk in self.chunks(seconds):
            yield from splitter.feed(chunk)
        yield from splitter.rest()

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._child.pid, signal.SIGKILL)

    def wait(self, seconds: float | None = None) -> int:
        """Its exit status, 128 + signal when it was killed. Raises TimeoutError after `seconds`."""
        try:
            code = self._child.wait(seconds)
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"no end after {seconds} s") from None
        return code if code >= 0 else 128 - code

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._child.poll() is None:
            self.kill()
        if self._child.stdin is not None:
            with contextlib.suppress(OSError):
                self._child.stdin.close()
        self.output.close()
        self._child.wait()


class LineSplitter:
    """Bytes as they come into lines as they are read. A line without end is cut after 64 KiB."""

    def __init__(self) -> None:
        self._partial = b""

    def feed(self, chunk: bytes) -> Iterator[str]:
        *whole, self._partial = (self._partial + chunk).split(b"\n")
        for line in whole:
            yield _text(line)
        if len(self._partial) > _LONGEST_LINE:
            yield from self.rest()

    def rest(self) -> Iterator[str]:
        if self._partial:
            partial, self._partial = self._partial, b""
            yield _text(partial)


class Collector:
    """Keeps what was printed, of more than `limit` bytes the end, and tells each line."""

    def __init__(self, on_line: Callable[[str], None] | None = None, limit: int = OUTPUT_LIMIT) -> None:
        self._on_line = on_line
        self._limit = limit
        self._kept = bytearray()
        self._splitter = LineSplitter()

    def feed(self, chunk: bytes) -> None:
        self._kept += chunk
        if len(self._kept) > 2 * self._limit:
            del self._kept[: -self._limit]
        if self._on_line is not None:
            for line in self._splitter.feed(chunk):
                self._on_line(line)

    def finish(self) -> bytes:
        if self._on_line is not None:
            for line in self._splitter.rest():
                self._on_line(line)
        return bytes(self._kept[-self._limit :])


def run_program(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    stdin: bytes = b"",
    cwd: Path | None = None,
    seconds: float | None = None,
    on_line: Callable[[str], None] | None = None,
    clock: Clock | None = None,
) -> Completed:
    """Run a program of the host to its end. Raises SandboxError `program-missing`, StepError `program-timed-out`."""
    collector = Collector(on_line)
    source = os.memfd_create("stdin") if stdin else os.open(os.devnull, os.O_RDONLY)
    try:
        with os.fdopen(os.dup(source), "wb") as file:
            file.write(stdin)
        os.lseek(source, 0, os.SEEK_SET)
        with Process(argv, env=env, stdin=source, cwd=cwd, clock=clock) as process:
            try:
                for chunk in process.chunks(seconds):
                    collector.feed(chunk)
                status = process.wait(seconds)
            except TimeoutError:
                process.kill()
                raise StepError(
                    "program-timed-out",
                    f"{argv[0]} did not end within {seconds:g} s",
                    detail=Completed(137, collector.finish()).tail(),
                ) from None
    finally:
        os.close(source)
    return Completed(status, collector.finish())


def _text(line: bytes) -> str:
    return line.rstrip(b"\r").decode("utf-8", "replace")

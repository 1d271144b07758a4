"""One run of the helper: start it, feed it, hear it out, end it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import selectors
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from os_image_composer.chroot.process import Collector, Process
from os_image_composer.chroot.refusal import refusal
from os_image_composer.errors import SandboxError

_HELPER = Path(__file__).parent / "helper"
_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
_CHUNK = 1 << 18
_PIPE_SIZE = 1 << 20
_SECONDS_TO_CLEAR = 10.0


@dataclass(frozen=True)
class Message:
    """A line that the helper reports, and the bytes that follow it."""

    value: dict[str, Any]
    payload: bytes


class Session:
    """One helper process. It ends when this process closes the lifeline, however that comes about."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lifeline = -1
        self._stopped = False
        self._status: int | None = None
        self._error: dict[str, Any] | None = None

    def talk(
        self,
        data: Iterable[bytes],
        collector: Collector,
        on_message: Callable[[Message], None] = lambda message: None,
    ) -> int:
        """Send `data` (the request first) and hear until the end; gives the program's exit status.
        Raises what the helper refused, and what the iteration of `data` raised."""
        held, lifeline = os.pipe()
        reader, report = os.pipe()
        with self._lock:
            self._lifeline = lifeline
        argv = [sys.executable, "-I", "-S", "-X", "utf8", str(_HELPER), str(held), str(report)]
        try:
            try:
                process = Process(argv, env=_ENVIRONMENT, stdin=subprocess.PIPE, keep=(held, report))
            finally:
                os.close(held)
                os.close(report)
            with process:
                feeder = _Feeder(process, data, self.stop)
                try:
                    self._listen(process, reader, collector, on_message)
                finally:
                    self._end()
                    feeder.join()
                    with contextlib.suppress(TimeoutError):
                        process.wait(_SECONDS_TO_CLEAR)
        finally:
            self._end()
            os.close(reader)
        return self._outcome(feeder.error, collector)

    def stop(self) -> None:
        """Kill everything inside. From any thread."""
        self._stopped = True
        self._end()

    def _end(self) -> None:
        with self._lock:
            if self._lifeline >= 0:
                os.close(self._lifeline)
                self._lifeline = -1

    def _listen(
        self, process: Process, report: int, collector: Collector, on_message: Callable[[Message], None]
    ) -> None:
        messages = _Messages()
        with selectors.DefaultSelector() as selector:
            selector.register(process.output, selectors.EVENT_READ)
            selector.register(report, selectors.EVENT_READ)
            while selector.get_map():
                for key, _ in selector.select():
                    chunk = os.read(key.fd, _CHUNK)
                    if not chunk:
                        selector.unregister(key.fileobj)
                    elif key.fd == report:
                        for message in messages.feed(chunk):
                            self._hear(message, on_message)
                    else:
                        collector.feed(chunk)

    def _hear(self, message: Message, on_message: Callable[[Message], None]) -> None:
        if "error" in message.value:
            self._error = self._error or message.value["error"]
        elif "status" in message.value:
            self._status = message.value["status"]
        else:
            on_message(message)

    def _outcome(self, fed: BaseException | None, collector: Collector) -> int:
        if fed is not None:
            raise fed
        if self._error is not None:
            raise refusal(self._error["reference"], self._error["message"], self._error["cause"])
        if self._status is None:
            if self._stopped:
                raise SandboxError("stopped", "the build was stopped")
            said = collector.finish().decode("utf-8", "replace").splitlines()[-20:]
            raise SandboxError(
                "sandbox-died",
                "the sandbox ended without an answer",
                hint="was it killed? `dmesg` shows whether memory ran out",
                detail=tuple(said),
            )
        return self._status


class _Feeder:
    """Writes the data in a thread, since the helper speaks meanwhile."""

    def __init__(self, process: Process, data: Iterable[bytes], stop: Callable[[], None]) -> None:
        self.error: BaseException | None = None
        self._stop = stop
        self._thread = threading.Thread(target=self._run, args=(process, data), daemon=True)
        self._thread.start()

    def _run(self, process: Process, data: Iterable[bytes]) -> None:
        with contextlib.suppress(OSError):  # an ordinary user has a limit for all pipes together
            fcntl.fcntl(process.input.fileno(), fcntl.F_SETPIPE_SZ, _PIPE_SIZE)
        try:
            for chunk in data:
                view = memoryview(chunk)
                while view:
                    view = view[os.write(process.input.fileno(), view) :]
        except BrokenPipeError:
            pass  # the helper has ended and says why
        except BaseException as error:
            self.error = error
            self._stop()
        finally:
            with contextlib.suppress(OSError):
                process.input.close()

    def join(self) -> None:
        self._thread.join()


class _Messages:
    """Cuts the report pipe into messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._value: dict[str, Any] | None = None

    def feed(self, chunk: bytes) -> Iterator[Message]:
        self._buffer += chunk
        while True:
            if self._value is None:
                end = self._buffer.find(b"\n")
                if end < 0:
                    return
                self._value = json.loads(self._buffer[:end])
                del self._buffer[: end + 1]
            size = self._value.get("size", 0)
            if len(self._buffer) < size:
                return
            payload = bytes(self._buffer[:size])
            del self._buffer[:size]
            value, self._value = self._value, None
            yield Message(value, payload)

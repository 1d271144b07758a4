"""A serial port of the guest: what it printed as plain lines, and a way to wait for text and to type.

`PlainText` turns bytes into text without terminal control sequences (ECMA-48, 5.4 and 8.3.89), however the bytes
are cut; `Console` does that for a socket.
"""

from __future__ import annotations

import codecs
import re
import select
import socket
from collections.abc import Callable

from os_image_composer.build.clock import Clock
from os_image_composer.errors import BootError

_SEQUENCE = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]"  # CSI
    r"|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)"  # OSC, DCS, SOS, PM, APC
    r"|[ -/]+[0-~]|[0-Z\\`-~])"  # two-character and charset sequences
)
_LONGEST = 512  # an escape that has not ended by then is not one
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


class PlainText:
    """Feed bytes, get text: no control sequences, no carriage returns, newlines kept."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""

    def feed(self, data: bytes) -> str:
        """The text that is certain now; an unfinished sequence is held until its end comes."""
        text = _SEQUENCE.sub("", self._held + self._decoder.decode(data))
        escape = text.find("\x1b")
        if escape >= 0 and len(text) - escape <= _LONGEST:
            text, self._held = text[:escape], text[escape:]
        else:
            self._held = ""
        return _CONTROL.sub("", text)


class Console:
    """One serial port. `heard` is called with every complete line."""

    def __init__(self, port: socket.socket, clock: Clock, heard: Callable[[str], None] | None = None) -> None:
        self._port = port
        self._port.setblocking(False)
        self._clock = clock
        self._plain = PlainText()
        self._heard = heard
        self._lines: list[str] = []
        self._rest = ""
        self._unread = ""
        self.closed = False

    def fileno(self) -> int:
        return self._port.fileno()

    @property
    def lines(self) -> tuple[str, ...]:
        """All complete lines so far, and the unfinished one (a prompt has no end of line)."""
        return (*self._lines, self._rest) if self._rest else tuple(self._lines)

    @property
    def rest(self) -> str:
        """The line that has not ended yet, such as a prompt."""
        return self._rest

    def pump(self) -> tuple[str, ...]:
        """Read what has come and give the lines that it completed. Never waits."""
        fresh: list[str] = []
        while data := self.read():
            text = self._plain.feed(data)
            self._unread += text
            *done, self._rest = (self._rest + text).split("\n")
            fresh += done
        self._lines += fresh
        if self._heard is not None:
            for line in fresh:
                self._heard(line)
        return tuple(fresh)

    def read(self) -> bytes:
        """What has come, as it came; nothing when nothing has. Never waits; notices the end."""
        try:
            data = b"" if self.closed else self._port.recv(65536)
        except BlockingIOError:
            return b""
        except OSError:
            data = b""
        self.closed = not data
        return data

    def expect(self, pattern: str, seconds: float) -> str:
        """Wait until `pattern` (a regular expression) appears in what was printed since the last `expect`, and
        give the text that matched. Raises BootError after `seconds`, or when the guest has gone."""
        wanted = re.compile(pattern)
        end = self._clock.elapsed() + seconds
        while True:
            found = wanted.search(self._unread)
            if found:
                self._unread = self._unread[found.end() :]
                return found[0]
            left = end - self._clock.elapsed()
            if self.closed or left <= 0:
                cause = "the guest has gone" if self.closed else f"not within {seconds:g} s"
                raise BootError(
                    "boot-console-silent",
                    f"the console never showed {pattern!r}",
                    cause=cause,
                    detail=self.lines[-20:],
                )
            select.select([self._port], [], [], min(left, 1.0))
            self.pump()

    def send(self, text: str) -> None:
        """Type `text` (no newline is added)."""
        self._port.setblocking(True)
        try:
            self._port.sendall(text.encode("utf-8", "surrogateescape"))
        except OSError as error:
            raise BootError("boot-console-closed", "the guest no longer listens", cause=str(error)) from error
        finally:
            self._port.setblocking(False)

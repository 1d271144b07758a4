"""The console's text is what a reader would see, however the bytes were cut."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from os_image_composer.boot.console import Console, PlainText
from os_image_composer.build.clock import SystemClock
from os_image_composer.errors import BootError

# As a trixie guest printed it: the firmware's screen control, a status line with colours, an OSC from systemd.
RECORDED = (
    b"\x1b[2J\x1b[01;01H\x1b[=3h\x1b[2J\x1b[01;01HBdsDxe: loading Boot0001\r\n"
    b"\x1b[!p\x1b]104\x07\x1b[?7h[   11.599379] systemd[1]: systemd 257.13-1~deb13u1 running\r\n"
    b"[\x1b[0;32m  OK  \x1b[0m] Reached target \x1b[0;1;39mremote-fs-pre.targe\xe2\x80\xa6\x1b[0mreparation\r\r\n"
    b"\x1b]3008;start=1f;machineid=2\x1b\\lab login: "
)
PLAIN = (
    "BdsDxe: loading Boot0001\n"
    "[   11.599379] systemd[1]: systemd 257.13-1~deb13u1 running\n"
    "[  OK  ] Reached target remote-fs-pre.targe…reparation\n"
    "lab login: "
)


def test_control_sequences_of_firmware_and_systemd_disappear() -> None:
    assert PlainText().feed(RECORDED) == PLAIN


@pytest.mark.parametrize("size", [1, 2, 3, 7, 31])
def test_text_is_the_same_however_the_bytes_are_cut(size: int) -> None:
    plain = PlainText()
    pieces = [RECORDED[i : i + size] for i in range(0, len(RECORDED), size)]
    assert "".join(plain.feed(piece) for piece in pieces) == PLAIN


def test_an_escape_that_never_ends_does_not_swallow_the_rest_of_the_boot() -> None:
    plain = PlainText()
    text = plain.feed(b"\x1b]" + b"x" * 600) + plain.feed(b"\nlogin: ")
    assert text.endswith("\nlogin: ")


def test_bytes_that_are_no_utf_8_are_shown_as_such_and_stop_nothing() -> None:
    assert PlainText().feed(b"a\xff\xfeb\n") == "a\ufffd\ufffdb\n"


@pytest.fixture
def pair() -> Iterator[tuple[Console, socket.socket]]:
    ours, guest = socket.socketpair()
    with ours, guest:
        yield Console(ours, SystemClock()), guest


def test_lines_are_complete_and_the_prompt_is_the_rest(pair: tuple[Console, socket.socket]) -> None:
    console, guest = pair
    guest.sendall(b"one\r\ntwo\r\nlab log")
    assert console.pump() == ("one", "two")
    guest.sendall(b"in: ")
    assert console.pump() == ()
    assert console.rest == "lab login: "
    assert console.lines == ("one", "two", "lab login: ")


def test_a_conversation_goes_step_by_step(pair: tuple[Console, socket.socket]) -> None:
    console, guest = pair

    def system() -> None:
        guest.sendall(b"lab login: ")
        assert guest.recv(64) == b"admin\n"
        guest.sendall(b"admin\r\nPassword: ")
        assert guest.recv(64) == b"secret\n"
        guest.sendall(b"\r\nuid=1000(admin)\r\n$ ")

    thread = threading.Thread(target=system)
    thread.start()
    console.expect(r"login: ", 5)
    console.send("admin\n")
    console.expect(r"Password: ", 5)
    console.send("secret\n")
    assert console.expect(r"uid=\d+\(\w+\)", 5) == "uid=1000(admin)"
    thread.join()


def test_waiting_does_not_find_what_was_waited_for_before(pair: tuple[Console, socket.socket]) -> None:
    console, guest = pair
    guest.sendall(b"login: ")
    console.expect("login: ", 1)
    with pytest.raises(BootError) as caught:
        console.expect("login: ", 0.05)
    assert caught.value.reference == "boot-console-silent"


def test_a_guest_that_has_gone_ends_the_waiting_at_once(pair: tuple[Console, socket.socket]) -> None:
    console, guest = pair
    guest.sendall(b"Kernel panic\n")
    guest.close()
    started = time.monotonic()
    with pytest.raises(BootError) as caught:
        console.expect("login: ", 30)
    assert time.monotonic() - started < 2
    assert caught.value.detail == ("Kernel panic",)
    assert console.closed

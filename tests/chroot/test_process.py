"""Programs of the host."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from os_image_composer.chroot.process import Collector, LineSplitter, Process, run_program
from os_image_composer.errors import SandboxError, StepError

ENV = {"PATH": "/usr/bin:/bin"}


def test_output_status_input_and_environment_are_explicit() -> None:
    lines: list[str] = []
    done = run_program(
        ["sh", "-c", "cat; echo $A$HOME; echo e >&2; exit 3"],
        env={**ENV, "A": "b"},
        stdin=b"in\n",
        on_line=lines.append,
    )
    assert (done.status, done.output, lines) == (3, b"in\nb\ne\n", ["in", "b", "e"])


def test_a_timeout_kills_the_whole_group() -> None:
    begun = time.monotonic()
    with pytest.raises(StepError) as caught:
        run_program(["sh", "-c", "echo begun; sleep 60 & sleep 60"], env=ENV, seconds=0.3)
    assert caught.value.reference == "program-timed-out" and caught.value.detail == ("begun",)
    assert time.monotonic() - begun < 3


def test_a_missing_program_is_named() -> None:
    with pytest.raises(SandboxError) as caught:
        run_program(["/no/such/program"], env=ENV)
    assert caught.value.reference == "program-missing" and "/no/such/program" in caught.value.message


def test_a_killed_program_has_128_plus_its_signal() -> None:
    assert run_program(["sh", "-c", "kill -9 $$"], env=ENV).status == 137


def test_lines_are_read_while_it_runs_and_it_ends_with_the_block() -> None:
    with Process(["sh", "-c", "read x; echo got $x; sleep 60"], env=ENV, stdin=subprocess.PIPE) as process:
        process.input.write(b"it\n")
        assert next(process.lines(5)) == "got it"
        with pytest.raises(TimeoutError):
            next(process.lines(0.1))
    assert process.wait() == 137


def test_a_ctrl_c_does_not_reach_it() -> None:
    code = "import os; print(os.getsid(0) == os.getpid())"
    assert run_program([sys.executable, "-c", code], env=ENV).output == b"True\n"


def test_lines_are_cut_from_pieces() -> None:
    splitter = LineSplitter()
    pieces = [b"on", b"e\r\ntwo\n\nca", b"f\xc3", b"\xa9", b"\xff"]
    assert [line for piece in pieces for line in splitter.feed(piece)] == ["one", "two", ""]
    assert list(splitter.rest()) == ["café\N{REPLACEMENT CHARACTER}"]


def test_an_endless_line_is_cut() -> None:
    splitter = LineSplitter()
    assert sum(len(line) for _ in range(100) for line in splitter.feed(b"x" * 10_000)) > 900_000


def test_of_much_output_the_end_is_kept() -> None:
    collector = Collector(limit=1000)
    for number in range(10_000):
        collector.feed(b"%d\n" % number)
    kept = collector.finish()
    assert len(kept) == 1000 and kept.endswith(b"9998\n9999\n")

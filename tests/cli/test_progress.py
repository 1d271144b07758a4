"""What listeners make of the events of a build."""

from __future__ import annotations

import io
import json
import typing

import pytest
from rich.console import Console

from os_image_composer.build.clock import FixedClock
from os_image_composer.build.events import (
    Event,
    Note,
    Output,
    PhaseFinished,
    PhaseStarted,
    StepFinished,
    StepStarted,
    Transferred,
)
from os_image_composer.cli.live import LiveDisplay
from os_image_composer.cli.progress import EVENT_NAMES, JsonLines, PlainLines, Several

BUILD: tuple[Event, ...] = (
    PhaseStarted("resolve"),
    Transferred("metadata", 10_000_000, 20_000_000, 4),
    Transferred("metadata", 20_000_000, 20_000_000, 4),
    PhaseFinished("resolve", 3.25, "158 packages"),
    StepFinished("image-tools", "reused", 0.0, "unchanged"),
    StepStarted("packages:default", "not built before"),
    Output("packages:default", "Setting up libc6 [64-bit]"),
    Note("warning", "a key expires [soon]"),
    Note("info", "one mirror answered"),
    StepFinished("packages:default", "ran", 41.5),
    StepStarted("initrd", "after packages:default"),
    StepFinished("initrd", "failed", 2.0),
)


def plain(level: str) -> list[str]:
    stream = io.StringIO()
    listener = PlainLines(stream, FixedClock(1_700_000_000), level)
    for event in BUILD:
        listener(event)
    return [line.split(" ", 2)[2] for line in stream.getvalue().splitlines()]


def test_every_kind_of_event_has_a_name() -> None:
    assert set(EVENT_NAMES) == set(typing.get_args(Event))


def test_every_event_is_one_json_object_on_one_line() -> None:
    stream = io.StringIO()
    listener = JsonLines(stream, FixedClock(1_700_000_000.1234))
    for event in BUILD:
        listener(event)
    objects = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert len(objects) == len(BUILD)
    assert {o["time"] for o in objects} == {1_700_000_000.123}
    assert objects[5]["event"] == "step-started"
    assert objects[5]["why"] == "not built before"
    assert objects[9] == objects[9] | {"event": "step-finished", "outcome": "ran", "seconds": 41.5}


def test_plain_lines_tell_what_ran_and_what_was_reused_and_why() -> None:
    assert plain("info") == [
        "resolve: started",
        "metadata: 4 files, 20.0 MB",
        "resolve: done in 3.2 s (158 packages)",
        "step image-tools: reused, unchanged",
        "step packages:default: runs, not built before",
        "warning: a key expires [soon]",
        "one mirror answered",
        "step packages:default: ran in 41.5 s",
        "step initrd: runs, after packages:default",
        "step initrd: failed in 2.0 s",
    ]


def test_the_output_of_programs_is_shown_at_debug_only() -> None:
    line = "step packages:default| Setting up libc6 [64-bit]"
    assert line in plain("debug")
    assert line not in plain("info")


@pytest.mark.parametrize(
    ("level", "lines"),
    [
        ("warning", ["warning: a key expires [soon]", "step initrd: failed in 2.0 s"]),
        ("error", ["step initrd: failed in 2.0 s"]),
    ],
)
def test_a_higher_level_tells_less(level: str, lines: list[str]) -> None:
    assert plain(level) == lines


def test_several_listeners_hear_the_same() -> None:
    streams = (io.StringIO(), io.StringIO())
    listener = Several([PlainLines(stream, FixedClock()) for stream in streams])
    for event in BUILD:
        listener(event)
    assert streams[0].getvalue().count("\n") == 10
    assert streams[0].getvalue() == streams[1].getvalue()


def live(width: int = 100) -> tuple[str, LiveDisplay]:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=width, color_system=None)
    display = LiveDisplay(console, FixedClock())
    with display.shown():
        for event in BUILD[:-1]:
            display(event)
        between = io.StringIO()
        Console(file=between, width=width).print(display)
    return stream.getvalue() + "\0" + between.getvalue(), display


def test_the_live_display_keeps_what_has_ended_and_moves_what_runs() -> None:
    text, moving = live()[0].split("\0")
    assert "image-tools" in text
    assert "reused" in text
    assert "a key expires [soon]" in text  # brackets of a message are no markup
    assert "initrd" in moving
    assert "packages:default " not in moving
    assert "metadata" not in moving


def test_the_live_display_fits_a_narrow_terminal() -> None:
    moving = live(width=40)[0].split("\0")[1]
    assert all(len(line) <= 40 for line in moving.splitlines())

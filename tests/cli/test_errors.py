"""How a failure looks."""

from __future__ import annotations

from pathlib import Path

import pytest

from os_image_composer.cli.errors import as_composer_error, error_lines, excerpt, finding_lines, unexpected_lines
from os_image_composer.errors import ComposerError, FetchError, Finding, Origin, StepError, TemplateError


def shown(source: str, tmp_path: Path, line: int, column: int) -> list[str]:
    path = tmp_path / "t.yml"
    path.write_text(source, encoding="utf-8")
    return list(excerpt(Origin(str(path), line, column)))


def test_the_caret_stands_under_the_column(tmp_path: Path) -> None:
    source, caret = shown("a: 1\n  key: value\n", tmp_path, 2, 8)
    assert source == "     2 |   key: value"
    assert caret.index("^") == source.index("value")


def test_a_tab_before_the_column_stays_a_tab_so_that_the_caret_lines_up(tmp_path: Path) -> None:
    _, caret = shown("\tkey: value\n", tmp_path, 1, 2)
    assert caret.endswith("| \t^")


def test_a_very_long_line_is_cut_around_the_column(tmp_path: Path) -> None:
    source, caret = shown("x" * 500 + "HERE" + "y" * 500, tmp_path, 1, 501)
    assert len(source) < 140
    assert source[caret.index("^") :].startswith("HERE")


def test_no_excerpt_when_the_file_or_the_line_is_gone(tmp_path: Path) -> None:
    assert list(excerpt(Origin(str(tmp_path / "absent.yml"), 1, 1))) == []
    assert shown("one\n", tmp_path, 9, 1) == []


@pytest.mark.parametrize(
    "line", ["  password: hunter2", "- password: hunter2", '  "password": hunter2', "api_token: hunter2"]
)
def test_the_value_of_a_secret_is_never_shown(tmp_path: Path, line: str) -> None:
    source, _ = shown(f"{line}\n", tmp_path, 1, 1)
    assert "hunter2" not in source
    assert "(hidden)" in source


def test_control_characters_of_a_file_cannot_reach_the_terminal(tmp_path: Path) -> None:
    source, _ = shown("key: \x1b[2Jx\n", tmp_path, 1, 1)
    assert "\x1b" not in source
    assert "\\x1b[2J" in source


def test_an_error_tells_reference_cause_detail_and_the_next_thing_to_do_in_this_order() -> None:
    error = StepError(
        "step-failed", "the step packages failed", cause="exit status 1", hint="free some space", detail=("one", "two")
    )
    assert list(error_lines(error)) == [
        "error[step-failed]: the step packages failed",
        "  cause: exit status 1",
        "  | one",
        "  | two",
        "  hint: free some space",
    ]


def test_an_error_with_an_origin_shows_the_line(tmp_path: Path) -> None:
    path = tmp_path / "t.yml"
    path.write_text("disk:\n  size: tiny\n")
    lines = list(error_lines(TemplateError("invalid-size", "'tiny' is no size", origin=Origin(str(path), 2, 9))))
    assert lines[1] == f"  --> {path}:2:9"
    assert lines[3].index("^") == lines[2].index("tiny")


def test_what_a_finding_says_is_not_said_again(tmp_path: Path) -> None:
    origin = Origin(str(tmp_path / "gone.yml"), 5, 3)
    finding = Finding("unknown-key", "'hostnam' is not a key", origin, "did you mean 'hostname'?")
    error = TemplateError(
        "invalid-template", "1 problem", cause=finding.message, hint=finding.hint, origin=origin, findings=(finding,)
    )
    assert list(error_lines(error)) == [
        "error[invalid-template]: 1 problem",
        f"{origin}: 'hostnam' is not a key [unknown-key] (did you mean 'hostname'?)",
    ]


def test_every_finding_is_one_line_that_an_editor_can_jump_to() -> None:
    finding = Finding("unknown-key", "'nam' is no key", Origin("absent.yml", 2, 3), "did you mean 'name'?")
    assert list(finding_lines(finding)) == ["absent.yml:2:3: 'nam' is no key [unknown-key] (did you mean 'name'?)"]


def test_a_message_of_several_lines_cannot_forge_a_second_error() -> None:
    (line,) = error_lines(FetchError("not-found", "no file x\nerror[trust]: fine"))
    assert "\n" not in line


def raised() -> ZeroDivisionError:
    try:
        1 / 0  # noqa: B018
    except ZeroDivisionError as error:
        return error
    raise AssertionError


def test_a_fault_of_the_program_is_short_and_says_how_to_see_more() -> None:
    lines = list(unexpected_lines(raised(), debug=False))
    assert lines[0] == "error[internal]: ZeroDivisionError: division by zero"
    assert not any("Traceback" in line for line in lines)
    assert "--log-level debug" in lines[-1]


def test_a_fault_of_the_program_has_its_traceback_at_debug() -> None:
    assert any("Traceback" in line for line in unexpected_lines(raised(), debug=True))


@pytest.mark.parametrize(
    ("error", "reference", "words"),
    [
        (OSError(28, "No space left on device", "/some/where"), "host-refused", "cannot use /some/where"),
        (KeyboardInterrupt(), "interrupted", "interrupted"),
        (ValueError("odd\nsecond line"), "internal", "ValueError: odd"),
        (ComposerError("own", "message"), "own", "message"),
    ],
)
def test_any_failure_has_a_reference(error: BaseException, reference: str, words: str) -> None:
    told = as_composer_error(error)
    assert (told.reference, told.message) == (reference, words)

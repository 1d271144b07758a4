"""`systemConfig.selinux` beside a kernel command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from os_image_composer.config.load import check_template, load_image_spec
from os_image_composer.config.selinux import contradictions
from os_image_composer.errors import Finding

from .conftest import HEAD

Marked = Callable[[str], Finding]
Write = Callable[..., Path]


def template(mode: str, cmdline: str) -> str:
    return f"{HEAD}systemConfig:\n  selinux: {mode}\n  kernel:\n    cmdline: {cmdline}\n"


@pytest.mark.parametrize(
    ("mode", "word"),
    [
        ("enforcing", "selinux=0"),
        ("enforcing", "enforcing=0"),
        ("enforcing", "security=apparmor"),
        ("enforcing", "lsm=landlock,apparmor"),
        ("permissive", "selinux=0"),
        ("permissive", "enforcing=1"),
        ("permissive", "security=none"),
        ("disabled", "selinux=1"),
        ("disabled", "enforcing=1"),
        ("disabled", "security=selinux"),
        ("disabled", "lsm=landlock,selinux"),
    ],
)
def test_word_that_says_something_else_is_found_where_it_stands(marked: Marked, mode: str, word: str) -> None:
    finding = marked(template(mode, f"▸quiet {word}"))
    assert finding.reference == "selinux-contradiction"
    assert finding.message == f"'{word}' contradicts 'systemConfig.selinux: {mode}'"


@pytest.mark.parametrize(
    ("mode", "cmdline"),
    [
        ("enforcing", "security=selinux selinux=1 enforcing=1 lsm=landlock,selinux apparmor=0 quiet"),
        ("permissive", "security=selinux selinux=1 enforcing=0"),
        ("disabled", "selinux=0 security=apparmor enforcing=0 lsm=apparmor"),
    ],
)
def test_words_that_agree_or_are_of_something_else_are_let_alone(mode: str, cmdline: str) -> None:
    assert list(contradictions(mode, cmdline)) == []


def test_without_the_key_the_command_line_is_the_templates_own(write: Write, data: Path) -> None:
    path = write(f"{HEAD}systemConfig:\n  kernel:\n    cmdline: selinux=0 enforcing=1 security=smack\n")
    assert check_template(path, data) == ()
    assert load_image_spec(path, data).selinux is None


def test_mode_is_one_of_three(marked: Marked) -> None:
    finding = marked(f"{HEAD}systemConfig:\n  selinux: ▸enforced\n")
    assert finding.reference == "wrong-value"
    assert "enforcing" in (finding.hint or "")

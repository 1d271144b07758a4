"""The completion scripts, loaded by the shells that they are for."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from os_image_composer.cli.completion import SCRIPTS, Shell, verbs
from os_image_composer.cli.main import app

Composer = Callable[..., subprocess.CompletedProcess[str]]


def script(shell: Shell) -> str:
    return "\n".join(SCRIPTS[shell](tuple(verbs(typer.main.get_command(app))))) + "\n"


def bash(folder: Path, *words: str) -> list[str]:
    """What bash would offer for a line that ends with the last word."""
    quoted = " ".join(f"'{word}'" for word in ("os-image-composer", *words))
    program = (
        f"{script(Shell.BASH)}\nCOMP_WORDS=({quoted}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))\n"
        '_os_image_composer os-image-composer; printf "%s\\n" "${COMPREPLY[@]}"\n'
    )
    words_of = ["bash", "--norc", "--noprofile", "-u", "-c", program]
    done = subprocess.run(words_of, cwd=folder, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        (["bui"], ["build"]),
        (["cache", ""], ["list", "du", "clean"]),
        (["cache", "clean", "--unu"], ["--unused"]),
        (["--log-level", "w"], ["warning"]),
        (["--log-file", "build", "pl"], ["plan"]),
        (["validate", "--res"], ["--resolve"]),
        (["--log-level", "debug", "plan", "--d"], ["--dot"]),
        (["boot", "--accel", ""], ["tcg", "kvm"]),
        (["completion", "f"], ["fish"]),
        (["--cache-d"], ["--cache-dir"]),
    ],
)
def test_bash_offers_verbs_flags_and_values(tmp_path: Path, line: list[str], offered: list[str]) -> None:
    assert bash(tmp_path, *line) == offered


@pytest.mark.parametrize("line", [["build", "my-im"], ["--config", "my"], ["boot", "--console-log", "x"]])
def test_bash_is_left_to_complete_files(tmp_path: Path, line: list[str]) -> None:
    assert bash(tmp_path, *line) == []
    assert "-o default" in script(Shell.BASH)


@pytest.mark.parametrize("shell", list(Shell))
def test_the_verb_prints_what_the_shell_can_read(composer: Composer, tmp_path: Path, shell: Shell) -> None:
    done = composer("completion", shell.value)
    assert (done.returncode, done.stdout) == (0, script(shell))
    if shutil.which(shell.value):
        file = tmp_path / "script"
        file.write_text(done.stdout)
        subprocess.run([shell.value, "-n", str(file)], check=True, timeout=30)


def test_every_verb_and_flag_of_the_program_is_completed() -> None:
    found = {verb.path: verb for verb in verbs(typer.main.get_command(app))}
    assert ("cache", "clean") in found
    assert ("config", "init") in found
    assert all(verb.about for path, verb in found.items() if path)
    text = script(Shell.FISH)
    assert "-l json-events" in text
    assert "-n '__fish_seen_subcommand_from cache; and __fish_seen_subcommand_from du'" in text

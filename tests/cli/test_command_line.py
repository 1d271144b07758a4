"""The program as its user meets it: exit codes, help, what goes to which stream."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from os_image_composer import __version__

Composer = Callable[..., subprocess.CompletedProcess[str]]
VERBS = ("build", "validate", "plan", "boot", "schema", "doctor", "version")


def test_version_is_told(composer: Composer) -> None:
    done = composer("version")
    assert (done.returncode, done.stdout) == (0, f"os-image-composer {__version__}\n")


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_every_verb_says_what_it_does_and_shows_an_example(composer: Composer, verb: str) -> None:
    done = composer(verb, "--help")
    assert done.returncode == 0
    assert re.search(r"Examples?:\n", done.stdout)
    assert f"os-image-composer {verb}" in re.split(r"Examples?:\n", done.stdout)[1]


def test_help_names_every_verb_and_every_global_flag(composer: Composer) -> None:
    done = composer("--help")
    flags = ("--config", "--log-level", "--log-file", "--cache-dir", "--work-dir", "--workers", "--mirror")
    for word in (*VERBS, *flags):
        assert word in done.stdout


def test_help_loads_nothing_that_only_a_build_needs(environment: dict[str, str]) -> None:
    code = (
        "import sys; from os_image_composer.cli.main import run; run(['build', '--help']); "
        "print(sorted({m.split('.')[0] for m in sys.modules} & set(sys.argv[1:])), file=sys.stderr)"
    )
    # Not among them: pydantic, which typer reads its own types with.
    heavy = ("httpx", "ruamel", "solv", "pysequoia", "rich", "zstandard")
    words = [sys.executable, "-c", code, *heavy]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=30)
    assert done.stderr == "[]\n"


@pytest.mark.parametrize(
    "words",
    [
        ("paint",),
        ("build",),
        ("build", "--no-such-flag", "x.yml"),
        ("--workers", "0", "version"),
        ("--log-level", "loud", "version"),
        ("--mirror", "no-url", "version"),
        ("--config", "absent.yml", "validate", "x.yml"),
        ("--mirror", "debian=gopher://mirror.example", "validate", "x.yml"),
    ],
)
def test_wrong_use_is_two_and_goes_to_standard_error(composer: Composer, words: tuple[str, ...]) -> None:
    done = composer(*words)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr
    assert "Traceback" not in done.stderr


def test_a_valid_template_is_zero(composer: Composer, sample: Path) -> None:
    done = composer("validate", sample)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{sample}: valid\n", "")


def test_an_invalid_template_is_two_with_the_line_and_a_caret(composer: Composer, tmp_path: Path, sample: Path) -> None:
    lines = sample.read_text().splitlines()
    number = next(i for i, line in enumerate(lines) if line.startswith("systemConfig:"))
    lines.insert(number + 1, "  hostnmae: device")
    template = tmp_path / "wrong.yml"
    template.write_text("\n".join(lines) + "\n")
    done = composer("validate", template)
    assert done.returncode == 2
    where, source, caret = done.stderr.splitlines()[:3]
    assert where.startswith(f"{template}:{number + 2}:3: ")
    assert "[unknown-key]" in where
    assert "hostname" in where
    assert source.endswith("|   hostnmae: device")
    assert caret.index("^") == source.index("hostnmae")


@pytest.mark.parametrize("verb", ["build", "plan", "validate"])
def test_a_template_that_is_not_there_is_two_whatever_is_done_with_it(composer: Composer, verb: str) -> None:
    done = composer(verb, "absent.yml")
    assert done.returncode == 2
    assert "absent.yml" in done.stderr


def test_a_build_that_fails_says_so_as_an_event_too(composer: Composer, tmp_path: Path) -> None:
    template = tmp_path / "wrong.yml"
    template.write_text("image:\n  nam: x\n")
    done = composer("build", "--json-events", template)
    assert done.returncode == 2
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert events[-1]["event"] == "error"
    finding = next(f for f in events[-1]["findings"] if f["reference"] == "unknown-key")
    assert (finding["file"], finding["line"], finding["column"]) == (str(template), 2, 3)
    assert "error[" in done.stderr


@pytest.mark.parametrize(
    ("words", "reference", "code"),
    [
        (("--log-file", "/proc/none/log", "build", "--json-events", "SAMPLE"), "host-refused", 1),
        (("build", "--json-events", "--no-such-flag", "SAMPLE"), "wrong-usage", 2),
        (("--config", "absent.yml", "build", "--json-events", "SAMPLE"), "no-such-file", 2),
    ],
)
def test_every_failure_is_an_event_for_who_asked_for_events(
    composer: Composer, sample: Path, words: tuple[str, ...], reference: str, code: int
) -> None:
    done = composer(*(str(sample) if word == "SAMPLE" else word for word in words))
    assert done.returncode == code
    event = json.loads(done.stdout.splitlines()[-1])
    assert (event["event"], event["reference"]) == ("error", reference)


def test_an_interrupted_command_says_so_as_an_event(environment: dict[str, str], tmp_path: Path) -> None:
    words = ("build", "--json-events", str(tmp_path / "any.yml"))
    code = (
        "import os, signal, sys; from os_image_composer.cli import build, main\n"
        "build.settings_of = lambda *_, **__: os.kill(os.getpid(), signal.SIGINT)\n"
        f"sys.exit(main.run({list(words)!r}))"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (130, "interrupted\n")
    assert json.loads(done.stdout)["reference"] == "interrupted"


def test_a_console_log_that_cannot_be_written_is_told_before_the_boot(composer: Composer, tmp_path: Path) -> None:
    image = tmp_path / "empty.raw"
    image.write_bytes(bytes(1 << 20))
    done = composer("boot", "--check", "--console-log", "/proc/none/log", image)
    assert done.returncode == 1
    assert "error[host-refused]: cannot use /proc/none/log" in done.stderr


def test_the_log_file_tells_how_the_program_was_called_and_no_password(composer: Composer, tmp_path: Path) -> None:
    log, template = tmp_path / "logs" / "own.log", tmp_path / "t.yml"
    settings = tmp_path / "settings.yml"
    settings.write_text("mirrors: {debian: 'file:///nowhere', debian-security: 'file:///nowhere'}\n")
    template.write_text(
        'image: {name: t, version: "1"}\ntarget: {os: debian, dist: debian13, arch: x86_64, imageType: raw}\n'
        "systemConfig:\n  users:\n    - {name: me, password: hush-hush-4}\n"
    )
    flags = ("--config", settings, "--log-level", "debug", "--log-file", log)
    assert composer(*flags, "plan", template).returncode == 1
    told = log.read_text()
    assert f"os-image-composer {__version__}, Python " in told
    assert "setting mirrors: {'debian': ('file:///nowhere',)" in told
    assert "hush" not in told


def test_an_image_that_is_not_there_cannot_be_booted(composer: Composer) -> None:
    done = composer("boot", "absent.raw")
    assert done.returncode == 1
    assert "absent.raw" in done.stderr
    assert "Traceback" not in done.stderr


def test_validate_remarks_on_an_image_into_which_nobody_can_log_in(composer: Composer, tmp_path: Path) -> None:
    template = tmp_path / "nobody.yml"
    template.write_text(
        "image: {name: nobody, version: '1'}\n"
        "target: {os: debian, dist: debian13, arch: x86_64, imageType: raw}\n"
        "systemConfig: {name: nobody}\n"
    )
    done = composer("validate", str(template))
    assert done.returncode == 0
    assert "remark: " in done.stderr
    assert "nobody can log in" in done.stderr


def test_doctor_names_what_is_missing_with_the_command_that_mends_it(composer: Composer) -> None:
    done = composer("doctor")
    lines = done.stdout.splitlines()
    assert any(line.startswith("ok       python ") for line in lines)
    wrong = [i for i, line in enumerate(lines) if line.startswith(("FAILED", "warning"))]
    assert all("mend it: " in lines[i + 1] for i in wrong)
    assert done.returncode == int(any(line.startswith("FAILED") for line in lines))


@pytest.mark.boot
def test_a_disk_with_nothing_on_it_does_not_pass(composer: Composer, tmp_path: Path) -> None:
    image = partitioned_disk(tmp_path / "empty.raw")
    done = composer("boot", "--json", "--timeout", 50, image)
    verdict = json.loads(done.stdout)
    assert done.returncode == 1
    assert (verdict["level"], verdict["passed"]) == ("nothing", False)


@pytest.mark.boot
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_boot_ends_in_time_and_leaves_no_machine(
    environment: dict[str, str], tmp_path: Path, number: signal.Signals
) -> None:
    image = partitioned_disk(tmp_path / "empty.raw")
    words = [sys.executable, "-m", "os_image_composer", "boot", "--timeout", "60", str(image)]
    with subprocess.Popen(words, env=environment, stderr=subprocess.PIPE, text=True) as process:
        while not machines_with(image):
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(number)
        assert process.wait(5) == 130
        assert process.stderr is not None
        assert process.stderr.read() == "interrupted\n"
    assert not machines_with(image)


def partitioned_disk(image: Path) -> Path:
    """A disk with one partition (MBR, UEFI specification §5.2.1) and nothing in it."""
    with image.open("wb") as stream:
        stream.truncate(8 << 20)
        stream.seek(446)
        stream.write(bytes([0, 0, 0, 0, 0x83, 0, 0, 0]) + (2048).to_bytes(4, "little") + (8192).to_bytes(4, "little"))
        stream.seek(510)
        stream.write(b"\x55\xaa")
    return image


def machines_with(image: Path) -> list[str]:
    """The running QEMU processes that have `image` open."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"qemu-system" in words[0] and any(str(image).encode() in word for word in words):
            found.append(process.name)
    return found

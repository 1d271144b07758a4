"""Starting, and above all ending, the virtual machine."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from os_image_composer.boot.firmware import Firmware, find_firmware
from os_image_composer.boot.machine import Accelerator, Machine
from os_image_composer.boot.qemu import LIFELINE, qemu_argv
from os_image_composer.errors import BootError

FIRMWARE = Firmware(Path("/fw/code.fd"), Path("/fw/vars.fd"))


def argv(machine: Machine, image: str = "/images/a.raw") -> tuple[str, ...]:
    return qemu_argv("qemu", Path(image), machine, FIRMWARE, Path("/tmp/vars.fd"))


def running(marker: str) -> bool:
    """Whether any process on this host has `marker` among its arguments."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if marker in (process / "cmdline").read_text() and "Z" not in (process / "stat").read_text().split()[2]:
                return True
        except OSError:
            continue
    return False


def gone(marker: str, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while running(marker):
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def test_the_image_and_the_firmware_code_are_never_written() -> None:
    drives = [value for value in argv(Machine()) if value.startswith("if=")]
    assert "if=pflash,unit=0,format=raw,readonly=on,file=/fw/code.fd" in drives
    assert "if=none,id=disk,format=raw,snapshot=on,cache=unsafe,file=/images/a.raw" in drives
    assert not any("/fw/vars.fd" in value for value in drives)


def test_the_guest_cannot_reach_the_network() -> None:
    assert "user,id=net0,restrict=on" in argv(Machine())


def test_kvm_is_used_only_when_it_is_asked_for() -> None:
    assert "tcg,thread=multi" in argv(Machine())
    assert "kvm" in argv(Machine(accelerator=Accelerator.KVM))


def test_a_comma_in_the_path_of_an_image_cannot_add_a_drive_option() -> None:
    assert any(v.endswith("file=/images/a,,snapshot=off.raw") for v in argv(Machine(), "/images/a,snapshot=off.raw"))


def test_missing_firmware_names_the_command_that_installs_it(tmp_path: Path) -> None:
    absent = Firmware(tmp_path / "code.fd", tmp_path / "vars.fd")
    with pytest.raises(BootError) as caught:
        find_firmware((absent,))
    assert caught.value.hint
    assert "scripts/install-host-packages --boot" in caught.value.hint


def test_firmware_is_only_taken_when_both_of_its_files_are_there(tmp_path: Path) -> None:
    half = Firmware(tmp_path / "half.fd", tmp_path / "absent.fd")
    whole = Firmware(tmp_path / "code.fd", tmp_path / "vars.fd")
    for path in (half.code, whole.code, whole.variables):
        path.touch()
    assert find_firmware((half, whole)) == whole


def start_lifeline(*words: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-I", str(LIFELINE), *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def test_a_programs_own_status_comes_through() -> None:
    for command, status in (("exit 7", 7), ("kill -TERM $$", 128 + signal.SIGTERM)):
        with start_lifeline("/bin/sh", "-c", command) as process:
            assert process.wait(10) == status


def test_a_program_that_is_not_there_is_named() -> None:
    with start_lifeline("/no/such/qemu") as process:
        assert process.stdout is not None
        assert b"/no/such/qemu: No such file or directory" in process.stdout.read()
        assert process.wait(10) == 127


def test_letting_go_of_the_lifeline_ends_the_program(tmp_path: Path) -> None:
    marker = str(tmp_path)
    with start_lifeline("/bin/sh", "-c", "echo ready; while :; do sleep 0.1; done", marker) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        process.stdin.close()
        assert process.wait(5) == 128 + signal.SIGKILL
    assert gone(marker, 2)


def test_killing_the_lifeline_itself_ends_the_program(tmp_path: Path) -> None:
    marker = str(tmp_path)
    with start_lifeline("/bin/sh", "-c", "echo ready; while :; do sleep 0.1; done", marker) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.kill()
        process.wait(5)
    assert gone(marker, 2)


def test_killing_the_starter_ends_the_program(tmp_path: Path) -> None:
    marker = str(tmp_path)
    starter = (
        "import subprocess, sys, time; "
        "loop = 'echo up; while :; do sleep 0.1; done'; "
        "words = [sys.executable, '-I', sys.argv[1], '/bin/sh', '-c', loop, sys.argv[2]]; "
        "subprocess.Popen(words, stdin=subprocess.PIPE); print('ready', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", starter, str(LIFELINE), marker], stdout=subprocess.PIPE, start_new_session=True
    )
    with process:
        assert process.stdout is not None
        assert {process.stdout.readline(), process.stdout.readline()} == {b"ready\n", b"up\n"}
        process.kill()
        process.wait(5)
        assert gone(marker, 2)

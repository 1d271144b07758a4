"""What a program in the sandbox sees and can do."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from os_image_composer.chroot.job import Bind, Completed, Job, Tree
from os_image_composer.chroot.sandbox import Sandbox
from os_image_composer.errors import SandboxError, StepError

HOST_USR = Bind(Path("/usr"), "/usr")
Sh = Callable[..., Completed]
MakeLayer = Callable[..., Path]


def words(done: Completed) -> list[str]:
    assert done.status == 0, done.output
    return done.output.decode().split()


def test_exit_status_is_the_programs(sh: Sh) -> None:
    assert sh("exit 7").status == 7


def test_a_killed_program_has_128_plus_its_signal(sh: Sh) -> None:
    assert sh("kill -TERM $$").status == 143


def test_standard_input_is_what_was_given(sh: Sh) -> None:
    assert sh("wc -c", stdin=b"x" * 3_000_000).output.strip() == b"3000000"
    assert sh("cat").output == b""


def test_environment_is_the_fixed_one_and_the_jobs(sandbox: Sandbox, tiny: Path) -> None:
    job = Job(Tree((tiny,)), ("/usr/bin/env",), (HOST_USR,), env={"SOURCE_DATE_EPOCH": "5"})
    assert sorted(sandbox.run(job).output.decode().splitlines()) == [
        "HOME=/root",
        "LC_ALL=C.UTF-8",
        "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
        "SOURCE_DATE_EPOCH=5",
        "TZ=UTC",
    ]


def test_lines_arrive_while_the_program_runs(sandbox: Sandbox, tiny: Path) -> None:
    arrived: list[tuple[str, float]] = []
    job = Job(Tree((tiny,)), ("sh", "-c", "echo one; sleep 0.4; echo two >&2"), (HOST_USR,))
    done = sandbox.run(job, lambda line: arrived.append((line, time.monotonic())))
    assert [line for line, _ in arrived] == ["one", "two"]
    assert arrived[1][1] - arrived[0][1] > 0.3
    assert done.output == b"one\ntwo\n"


def test_no_network_but_loopback(sh: Sh) -> None:
    done = sh("tail -n +3 /proc/net/dev | cut -d: -f1; grep -c . /proc/net/route")
    assert done.output.decode().split() == ["lo", "1"]


def test_loopback_is_up(sandbox: Sandbox, tiny: Path) -> None:
    code = "import socket; s=socket.create_server(('127.0.0.1',0)); socket.create_connection(s.getsockname())"
    job = Job(Tree((tiny,)), ("/usr/bin/python3", "-c", code), (HOST_USR,))
    done = sandbox.run(job)
    if done.status == 127 or b"No module" in done.output:
        pytest.skip("the host has no /usr/bin/python3")
    assert done.status == 0, done.output


def test_network_where_it_is_asked_for(sandbox: Sandbox, tiny: Path) -> None:
    job = Job(Tree((tiny,)), ("cat", "/proc/net/dev"), (HOST_USR,), network=True)
    assert sandbox.run(job).output.split() and len(sandbox.run(job).output.splitlines()) == len(
        Path("/proc/net/dev").read_text().splitlines()
    )


def test_root_without_upper_is_written_to_nowhere(sh: Sh, sandbox: Sandbox, tiny: Path) -> None:
    before = sandbox.digest(tiny, 2**40)
    done = sh("echo x > /new; echo more >> /etc/passwd; rm /bin; cat /new; wc -l < /etc/passwd")
    assert done.output.split() == [b"x", b"2"]
    assert sandbox.digest(tiny, 2**40) == before


def test_upper_takes_what_is_written_and_nothing_else(sh: Sh, layer: MakeLayer, place: Path) -> None:
    upper = layer("upper")
    assert sh("echo x > /etc/new", upper=upper).status == 0
    assert sorted(str(p.relative_to(upper)) for p in upper.rglob("*")) == ["etc", "etc/new"]


def test_mount_points_never_reach_a_layer(sh: Sh, layer: MakeLayer, place: Path) -> None:
    upper, file = layer("upper"), place / "file"
    file.write_bytes(b"content\n")
    done = sh(
        "cat /opt/deep/er/file; ls -d /opt/other /proc/self /dev/null /tmp",
        Bind(file, "/opt/deep/er/file"),
        Bind(Path("/usr/share"), "/opt/other"),
        upper=upper,
    )
    assert words(done)[0] == "content"
    assert list(upper.iterdir()) == []


def test_other_owners_can_be_given(sh: Sh, layer: MakeLayer) -> None:
    upper = layer("upper")
    assert words(sh("touch /f; chown 104:110 /f; stat -c %u:%g /f", upper=upper)) == ["104:110"]
    assert words(sh("stat -c %u:%g /f", lower=(upper,))) == ["104:110"]


def test_setuid_programs_work(sh: Sh) -> None:
    script = "cp /usr/bin/id /id; chmod 4755 /id; setpriv --reuid 1000 --regid 1000 --clear-groups /id -u"
    assert words(sh(script)) == ["0"]


def test_device_nodes_are_refused_and_dev_works(sh: Sh) -> None:
    assert b"not permitted" in sh("mknod /dev/x c 1 3").output
    done = sh("echo x > /dev/null; head -c 3 /dev/zero | wc -c; stat -Lc %a /dev/ptmx; stat -fc %T /dev/pts")
    assert words(done) == ["3", "666", "devpts"]


def test_terminals_belong_to_group_5(sandbox: Sandbox, tiny: Path) -> None:
    code = "import os; a, b = os.openpty(); s = os.fstat(b); print(s.st_gid, oct(s.st_mode & 0o777))"
    done = sandbox.run(Job(Tree((tiny,)), ("/usr/bin/python3", "-c", code), (HOST_USR,)))
    if done.status == 127:
        pytest.skip("the host has no /usr/bin/python3")
    assert done.output.split() == [b"5", b"0o620"]


def test_surroundings_are_fixed(sh: Sh) -> None:
    script = "hostname; umask; ulimit -Sn; ulimit -Sc; ls /proc/self/fd | wc -l; id -G; pwd; ls -A /run /sys /tmp"
    expected = ["localhost", "0022", "1024", "0", "4", "0", "/", "/run:", "lock", "/sys:", "/tmp:"]
    assert words(sh(script)) == expected


def test_signals_are_not_ignored(sh: Sh) -> None:
    assert words(sh("grep SigIgn /proc/self/status")) == ["SigIgn:", "0" * 16]


def test_new_privileges_are_allowed_and_mknod_is_not(sh: Sh) -> None:
    values = words(sh("grep -E 'NoNewPrivs|CapBnd' /proc/self/status"))
    assert not int(values[1], 16) & 1 << 27
    assert values[3] == "0"


def test_only_the_jobs_processes_exist(sh: Sh) -> None:
    assert words(sh("ls /proc | grep -c '^[0-9]'"))[0] <= "5"


def test_what_is_left_running_ends_with_the_program(sh: Sh) -> None:
    begun = time.monotonic()
    assert words(sh("setsid sleep 30 & echo done")) == ["done"]
    assert time.monotonic() - begun < 5


def test_lower_directory_can_be_removed_and_made_again(sh: Sh, layer: MakeLayer) -> None:
    lower, upper = layer("lower", {"a/b/c": b"1", "a/d": b"2"}), layer("upper")
    assert words(sh("rm -r /a && mkdir /a && touch /a/new && ls /a", lower=(lower,), upper=upper)) == ["new"]
    assert (lower / "a/b/c").read_bytes() == b"1"
    assert words(sh("ls /a", lower=(lower, upper))) == ["new"]


def test_writing_one_name_of_a_hard_link_leaves_the_layer_alone(sh: Sh, layer: MakeLayer) -> None:
    lower, upper = layer("lower"), layer("upper")
    assert sh("echo old > /x; ln /x /y", upper=lower).status == 0
    assert words(sh("echo new > /x; cat /x /y", lower=(lower,), upper=upper)) == ["new", "old"]
    assert (lower / "x").read_bytes() == (lower / "y").read_bytes() == b"old\n"


def test_twelve_layers_with_long_names(sh: Sh, layer: MakeLayer) -> None:
    layers = tuple(layer(f"{number:02}" + "n" * 240, {f"f{number}": b"1"}) for number in range(12))
    assert len(":".join(map(str, layers))) > os.sysconf("SC_PAGE_SIZE") * 0.7
    assert len(words(sh("ls -d /f*", lower=layers, upper=layer("upper")))) == 12


def test_a_program_that_is_missing_is_named(sandbox: Sandbox, tiny: Path) -> None:
    with pytest.raises(StepError) as caught:
        sandbox.run(Job(Tree((tiny,)), ("no-such-program",), (HOST_USR,)))
    assert caught.value.reference == "program-missing"
    assert "no-such-program" in caught.value.message


def test_a_program_that_is_not_executable_is_named(sandbox: Sandbox, tiny: Path, layer: MakeLayer) -> None:
    lower = layer("lower", {"opt/data": b"1"})
    for argv in (("/opt/data",), ("data",)):
        with pytest.raises(StepError) as caught:
            sandbox.run(Job(Tree((tiny, lower)), argv, (HOST_USR,), env={"PATH": "/none:/opt:/bin"}))
        assert caught.value.reference == "program-not-started"
        assert caught.value.cause is not None and "Permission denied" in caught.value.cause


def test_a_layer_that_is_missing_is_named(sandbox: Sandbox, place: Path) -> None:
    with pytest.raises(StepError) as caught:
        sandbox.run(Job(Tree((place / "gone",)), ("true",)))
    assert caught.value.reference == "source-missing"
    assert str(place / "gone") in caught.value.message


def test_jobs_run_side_by_side(sh: Sh) -> None:
    begun = time.monotonic()
    with ThreadPoolExecutor(6) as pool:
        found = [words(done) for done in pool.map(lambda n: sh(f"sleep 1; echo {n}"), range(6))]
    assert found == [[str(n)] for n in range(6)]
    assert time.monotonic() - begun < 4


def test_stop_ends_what_runs_and_refuses_more(session_sandbox: tuple[Sandbox, Path], tiny: Path) -> None:
    first, base = session_sandbox
    sandbox = Sandbox(first.ids, base / "scratch")
    caught: list[SandboxError] = []

    def run() -> None:
        try:
            sandbox.run(Job(Tree((tiny,)), ("sh", "-c", "echo up; sleep 60"), (HOST_USR,)), lambda _: up.set())
        except SandboxError as error:
            caught.append(error)

    up = threading.Event()
    thread = threading.Thread(target=run)
    thread.start()
    assert up.wait(10)
    begun = time.monotonic()
    sandbox.stop()
    thread.join(5)
    assert time.monotonic() - begun < 2
    with pytest.raises(SandboxError):
        sandbox.run(Job(Tree((tiny,)), ("true",), (HOST_USR,)))
    assert [error.reference for error in caught] == ["stopped"]


def test_scratch_is_empty_afterwards(session_sandbox: tuple[Sandbox, Path], sh: Sh) -> None:
    _, base = session_sandbox
    assert sh("mkdir -p /var/a; chown 33:33 /var/a; touch /var/a/b; chmod 0 /var").status == 0
    assert list((base / "scratch").iterdir()) == []


def test_an_error_of_the_listener_ends_the_job(session_sandbox: tuple[Sandbox, Path], tiny: Path) -> None:
    sandbox, base = session_sandbox

    def fail(line: str) -> None:
        raise RuntimeError(line)

    begun = time.monotonic()
    with pytest.raises(RuntimeError, match="up"):
        sandbox.run(Job(Tree((tiny,)), ("sh", "-c", "echo up; sleep 60"), (HOST_USR,)), fail)
    assert time.monotonic() - begun < 5
    assert list((base / "scratch").iterdir()) == []

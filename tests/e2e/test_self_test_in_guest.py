"""The sandbox works on the stock kernels of the supported releases: an image of each is built, booted, and runs the
self-test as an ordinary user with nothing but its own Python and this source tree."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from os_image_composer.boot.console import Console
from os_image_composer.boot.machine import Machine
from os_image_composer.boot.qemu import run_guest
from os_image_composer.build.clock import SystemClock
from support.workshop import CHECKOUT, Workshop, remove_workshop

pytestmark = [pytest.mark.matrix, pytest.mark.boot]

# Under TCG, on two busy cores.
BOOT = 900
PROOF = 900

TEMPLATE = """
image: {{name: {dist}-self-test, version: "1.0"}}
target: {{os: debian, dist: {dist}, arch: x86_64, imageType: raw}}
systemConfig:
  name: self-test
  hostname: guest
  packages: [python3, uidmap]
  users:
    - {{name: tester, password: tester-of-the-guest, shell: /bin/bash}}
  additionalFiles:
    - {{local: source.tar, final: /opt/source.tar}}
  configurations:
    - cmd: mkdir /opt/source && tar -xf /opt/source.tar -C /opt/source && rm /opt/source.tar
    - cmd: grep -q ^tester /etc/subuid || usermod --add-subuids 100000-165535 --add-subgids 100000-165535 tester
"""


@pytest.mark.timeout(BOOT + PROOF + 900)
@pytest.mark.parametrize(("dist", "kernel", "on_tmpfs"), [("debian12", "6.1.", False), ("debian13", "6.12.", True)])
def test_self_test_passes_on_the_stock_kernel_as_an_ordinary_user(
    dist: str, kernel: str, on_tmpfs: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """`on_tmpfs`: a store in memory, which needs Linux 6.6; before that `doctor` says so instead of a build."""
    workshop = Workshop(tmp_path_factory.mktemp(dist))
    template = workshop.root / "self-test.yml"
    template.write_text(TEMPLATE.format(dist=dist))
    with tarfile.open(workshop.root / "source.tar", "w") as archive:
        archive.add(CHECKOUT / "src", ".", filter=lambda m: None if "__pycache__" in m.name else m)
    done = workshop.run("build", "--quiet", str(template))
    assert done.returncode == 0, done.stdout + done.stderr
    try:
        with run_guest(Path(done.stdout.strip()), Machine(memory=2048), SystemClock(), heard=print) as guest:
            console = guest.console
            log_in(console)
            assert run(console, "uname -r")[1].startswith(kernel)
            status, output = run(console, prove("/home/tester/cache"))
            assert (status, output.count("ok  ")) == (0, 17), output
            status, output = run(console, prove("/dev/shm/cache"))
            assert (status == 0) is on_tmpfs, output
            if not on_tmpfs:
                assert "tmpfs cannot hold layers before Linux 6.6" in output
                assert "set cache_dir to a folder on ext4" in output
    finally:
        remove_workshop(workshop)


def prove(folder: str) -> str:
    return f"cd / && PYTHONPATH=/opt/source python3 -m os_image_composer.cli.prove {folder}"


def log_in(console: Console) -> None:
    console.expect(r"guest login: $", BOOT)
    console.send("tester\n")
    console.expect(r"Password: $", 120)
    console.send("tester-of-the-guest\n")
    console.expect(r"tester@guest:~\$ $", 120)
    # A prompt that no output can be taken for, no echo of what is typed, no cut lines.
    console.send("stty -echo cols 400; PS1='ready''> '\n")
    console.expect(r"ready> $", 60)


def run(console: Console, command: str) -> tuple[int, str]:
    """Exit status and output of a command that is typed at the prompt."""
    console.send(f"{command}; echo status=$?\n")
    output, _, rest = console.expect(r"(?s).*status=\d+\s+ready> $", PROOF).rpartition("status=")
    return int(rest.split()[0]), output.strip()

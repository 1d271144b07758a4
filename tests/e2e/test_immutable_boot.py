"""The default image runs from its sealed root: what it changes stays, the root does not change, and none but the root
that was built starts."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from os_image_composer.boot.machine import Machine
from os_image_composer.boot.qemu import run_guest
from os_image_composer.boot.report import Answer, Probe
from os_image_composer.boot.trial import boot_image
from os_image_composer.boot.verdict import failed_on_console
from os_image_composer.build.canonical import sha256_file
from os_image_composer.build.clock import SystemClock
from support.sealed import INIT, Sealed
from support.tools import host_tool
from support.workshop import TEMPLATE, Workshop

pytestmark = [pytest.mark.build, pytest.mark.boot]

SECONDS = 900  # under TCG, on two busy cores; a quiet machine takes a quarter
GIB = 1 << 30
# The first line of a system's own systemd; that of the initrd names itself with this word.
SYSTEM = r"Welcome to (?!.*Initramfs)"
LOOK = (
    Probe("root", "findmnt --noheadings --output SOURCE,FSTYPE,OPTIONS /"),
    Probe("mounts", "findmnt --noheadings --list --output TARGET,FSTYPE | sort"),
    Probe("packages", "dpkg-query --show | wc --lines; dpkg --verify"),
    Probe("database", "touch /var/lib/dpkg/status"),
    Probe("usr", "touch /usr/made"),
    Probe("var", "ls /var/lib/apt /var/lib/systemd"),
    Probe("home", "stat --format '%U %a' /home/admin"),
    Probe("size", "findmnt --noheadings --bytes --output SIZE /run/state"),
    Probe("machine-id", "cat /etc/machine-id"),
    Probe("host-key", "cat /etc/ssh/ssh_host_ed25519_key.pub"),
    Probe("journal", "journalctl --list-boots --quiet | wc --lines"),
)
WRITE = Probe(
    "write", "for f in /etc/kept /var/kept /home/admin/kept /root/kept /srv/kept; do echo kept >$f; done; sync"
)
READ = Probe("read", "cat /etc/kept /var/kept /home/admin/kept /root/kept /srv/kept")


@pytest.fixture(scope="module")
def image(built: Workshop) -> Sealed:
    return Sealed.of(built.image())


def started(image: Path, *probes: Probe) -> dict[str, Answer]:
    """What the probes say of an image that may be written to, and that starts without a failed unit."""
    verdict = boot_image(image, SystemClock(), machine=Machine(keeps_changes=True), limit=SECONDS, probes=probes)
    assert verdict.passed, "\n".join(verdict.lines[-60:])
    assert re.search(SYSTEM, "\n".join(verdict.lines))
    assert verdict.powered_off
    # At its end neither: what the initrd mounted is taken off when nothing writes there any more.
    assert failed_on_console(verdict.lines) == ()
    return {answer.name: answer for answer in verdict.answers}


@pytest.mark.matrix
@pytest.mark.timeout(2 * SECONDS + 300)
def test_changes_stay_and_the_root_does_not_change(image: Sealed, tmp_path: Path) -> None:
    disk = image.copy(tmp_path / "disk.raw", 4 * GIB)
    before = sha256_file(disk.cut("root", tmp_path / "before"))
    first = started(disk.image, *LOOK, WRITE)
    assert re.match(r"/dev/mapper/root\s+ext4\s+ro", first["root"].output)
    assert {"/etc overlay", "/var ext4", "/home ext4", "/root ext4", "/srv ext4", "/tmp tmpfs"} <= {
        " ".join(line.split()) for line in first["mounts"].output.splitlines()
    }
    # The package database is the root's: all there, and nothing that anybody can write to.
    assert int(first["packages"].output.split()[0]) > 100
    assert first["database"].status != 0 and first["usr"].status != 0
    assert "lists" in first["var"].output
    assert first["home"].output.split() == ["admin", "700"]
    assert int(first["size"].output) > 2 * GIB  # of a disk of 4 GiB, where the image has 2.5
    assert first["write"].status == 0
    second = started(disk.image, *LOOK, READ)
    assert second["read"].output.split() == ["kept"] * 5
    for same in ("machine-id", "host-key", "packages", "size"):
        assert second[same].output == first[same].output, same
    assert int(second["journal"].output) == int(first["journal"].output) + 1 == 2
    assert sha256_file(disk.cut("root", tmp_path / "after")) == before
    told = host_tool("dumpe2fs", "-h", str(disk.cut("data", tmp_path / "data"))).stdout.decode()
    assert re.search(r"Filesystem state: +clean\n", told) and "needs_recovery" not in told
    started(disk.image, Probe("reset", "touch /run/state/reset"))
    assert started(disk.image, READ)["read"].output.count("No such file") == 5


@pytest.fixture(scope="module")
def older(built: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Sealed:
    """The same layout with other files."""
    template = tmp_path_factory.mktemp("older") / "older.yml"
    text = TEMPLATE.read_text().replace("hostname: debian13", "hostname: older").replace("name: minimal", "name: older")
    template.write_text(text)
    done = built.run("build", str(template))
    assert done.returncode == 0, done.stderr
    return Sealed.of(built.image("older"))


def other_root_hash(image: Sealed) -> None:
    """One digit of the command line in the UKI, which nothing signs here."""
    content = image.root_hash.encode()
    with image.image.open("r+b") as file:
        esp = image.partitions["esp"]
        file.seek(esp.start)
        offset = esp.start + file.read(esp.size).index(b"roothash=" + content) + len(b"roothash=") + 40
        file.seek(offset)
        file.write(b"0" if content[40:41] != b"0" else b"1")


@pytest.mark.timeout(SECONDS + 120)
@pytest.mark.parametrize(
    "attack",
    ["data", "tree", "older root", pytest.param("other root hash", marks=pytest.mark.matrix)],  # it waits for a device
)
def test_none_but_the_root_that_was_built_starts(image: Sealed, older: Sealed, tmp_path: Path, attack: str) -> None:
    disk = image.copy(tmp_path / "disk.raw")
    words = r"verity: .*corrupt|dm-verity device has been corrupted"
    if attack == "data":
        disk.change(disk.block_of(INIT, tmp_path))
    elif attack == "tree":
        # Behind the superblock comes the topmost block of digests, which every look-up begins with.
        disk.change(disk.partitions[disk.hash_name].start + 4096 + 7)
    elif attack == "older root":
        for name in ("root", disk.hash_name):
            disk.put(name, older.cut(name, tmp_path / "cut"))
    else:
        other_root_hash(disk)
        words += r"|Timed out waiting for device|Dependency failed for .*[Vv]erity"
    lines = refused(disk.image, words)
    told = "\n".join(lines)
    assert re.search(words, told), "\n".join(lines[-60:])
    assert "login:" not in told and not re.search(SYSTEM, told)


def refused(image: Path, words: str) -> tuple[str, ...]:
    """The console until `words` are on it, or the machine stops, or starts all the same."""
    clock = SystemClock()
    with run_guest(image, Machine(), clock) as guest:
        end = clock.elapsed() + SECONDS
        while clock.elapsed() < end and guest.status() is None:
            guest.console.pump()
            told = "\n".join(guest.console.lines)
            if re.search(words, told) or "login:" in guest.console.rest:
                break
            time.sleep(0.5)
        return (*guest.console.lines, guest.console.rest)

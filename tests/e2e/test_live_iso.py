"""Live ISOs: built of every distribution's default template, started as CD and as stick, by UEFI and by a BIOS.

Those of eLxr, Azure Linux and Edge Microvisor Toolkit are made from look-alikes of the vendors' repositories.
"""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from os_image_composer.boot.machine import FirmwareKind, Machine, Media
from os_image_composer.boot.qemu import Guest, run_guest
from os_image_composer.build.canonical import sha256_file
from os_image_composer.build.clock import SystemClock
from os_image_composer.chroot.job import Bind, Job, MountedTree, Tree
from os_image_composer.formats.partition_table import read_partition_table
from os_image_composer.formats.window import FileSource, Window
from support.look_alike import LookAlike
from support.tools import host_tool
from support.workshop import CHECKOUT, Workshop

pytestmark = pytest.mark.build

SECONDS = 600
CHECK = CHECKOUT / "config/osv/live/dracut/live-check.sh"
TARGETS = {
    "debian13": "debian",
    "debian12": "debian",
    "elxr12": "wind-river-elxr",
    "azl3": "azure-linux",
    "emt3": "edge-microvisor-toolkit",
}


def template(dist: str, more: str = "") -> str:
    return (
        f'image: {{name: {dist}-cd, version: "1.0"}}\n'
        f"target: {{os: {TARGETS[dist]}, dist: {dist}, arch: x86_64, imageType: iso}}\n"
        f"systemConfig:\n  name: cd\n  hostname: {dist}\n{more}"
    )


Build = Callable[..., Path]


@pytest.fixture(scope="module")
def build(workshop: Workshop, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Build:
    """Builds a template's ISO, each once."""
    made: dict[str, Path] = {}

    def built(dist: str, more: str = "", folder: str = "") -> Path:
        key = f"{dist}{more}{folder}"
        if key not in made:
            made[key] = _build(workshop, tmp_path_factory.mktemp("iso"), settings(dist), template(dist, more))
        return made[key]

    def settings(dist: str) -> list[str]:
        if dist == "elxr12":
            elxr: LookAlike = request.getfixturevalue("elxr")
            return ["--config", str(elxr.settings)]
        if dist in ("azl3", "emt3"):
            return ["--config", str(request.getfixturevalue("rpm_settings"))]
        return []

    return built


def _build(workshop: Workshop, folder: Path, settings: list[str], text: str) -> Path:
    (folder / "template.yml").write_text(text)
    words = [*settings, "build", "--output", str(folder / "out"), str(folder / "template.yml")]
    done = workshop.run(*words)
    assert done.returncode == 0, done.stdout + done.stderr
    (image,) = (folder / "out").glob("*.iso")
    return image


def boots(workshop: Workshop, image: Path, dist: str, *words: str) -> None:
    done = workshop.run("boot", "--check", "--json", "--timeout", str(SECONDS), *words, str(image))
    assert done.stdout, done.stderr
    verdict = json.loads(done.stdout)
    level = "self-report" if dist == "debian13" else "console"
    assert (verdict["level"], verdict["passed"], verdict["failedUnits"]) == (level, True, []), done.stdout
    assert verdict["poweredOff"] or level == "console", done.stdout  # which nobody switches off


WAYS = {
    "uefi-cd": ("--firmware", "uefi"),
    "uefi-usb": ("--firmware", "uefi", "--usb"),
    "bios-cd": ("--firmware", "bios"),
    "bios-usb": ("--firmware", "bios", "--usb"),
}


ALWAYS = {("debian13", "uefi-cd"), ("debian13", "bios-usb")}


def combinations() -> list[object]:
    """All four ways of both Debians, and two of each other distribution; each firmware and each medium in every run.
    The kernel of the RPM look-alikes is one for virtual machines, without USB."""
    found = [("debian13", way) for way in WAYS] + [("debian12", way) for way in WAYS]
    found += [("elxr12", way) for way in ("uefi-usb", "bios-cd")]
    found += [(dist, way) for dist in ("azl3", "emt3") for way in ("uefi-cd", "bios-cd")]
    return [pytest.param(*one, marks=() if one in ALWAYS else pytest.mark.matrix) for one in found]


@pytest.mark.boot
@pytest.mark.timeout(SECONDS + 900)
@pytest.mark.parametrize(("dist", "way"), combinations())
def test_live_system_comes_up_without_a_failed_unit(workshop: Workshop, build: Build, dist: str, way: str) -> None:
    boots(workshop, build(dist), dist, *WAYS[way])


def test_partitions_end_where_the_file_does_and_leave_the_disk_free(build: Build) -> None:
    image = build("debian13")
    with FileSource(image) as source:
        table = read_partition_table(Window.over(source))
    assert table is not None
    assert table.partitions[0].start == 32768
    assert [p.name for p in table.partitions] == ["ISO9660", "Appended2"]
    assert table.faults == ()


DIGESTS = """
import hashlib, pathlib
for path in sorted(pathlib.Path('/out').rglob('*')):
    if path.is_file():
        print(hashlib.sha256(path.read_bytes()).hexdigest(), path.relative_to('/out'))
"""


def test_xorriso_reads_back_every_file_and_the_filesystems_on_the_medium_are_clean(
    workshop: Workshop, build: Build, tmp_path: Path
) -> None:
    image = build("debian13")
    results = workshop.results(image.parent.parent / "template.yml")
    tools, boot, root = (results[name].content for name in ("image-tools", "boot", "root-filesystem"))
    assert tools is not None and boot is not None and root is not None
    sandbox, layer = workshop.bare_sandbox(), tmp_path / "layer"
    sandbox.new_layer(layer)

    def run(*argv: str) -> str:
        mounts = (Bind(image, "/run/iso"), Bind(root, "/run/root"), MountedTree(Tree(upper=layer), "/out"))
        done = sandbox.run(Job(Tree((tools,)), argv, mounts))
        assert done.status == 0, done.output.decode()
        return done.output.decode()

    try:
        said = run(
            "xorriso", "-osirrox", "on", "-indev", "/run/iso", "-report_el_torito", "plain", "-extract", "/", "/out"
        )
        lines = [line.split(" ", 1) for line in run("python3", "-c", DIGESTS).splitlines()]
        digests = {name: digest for digest, name in lines}
        assert "Compression zstd" in run("unsquashfs", "-stat", "/run/root/root.squashfs")
        # There is no fsck for squashfs: every inode, and every block of data, is read instead.
        run("unsquashfs", "-no-progress", "-strict-errors", "-no-xattrs", "-d", "/out/root", "/out/live/root.squashfs")
    finally:
        sandbox.remove([layer])
    assert re.findall(r"(?m)^El Torito boot img : +\d +(\w+) +(\w)", said) == [("BIOS", "y"), ("UEFI", "y")]
    written = {str(p.relative_to(boot / "medium")): p for p in (boot / "medium").rglob("*") if p.is_file()}
    written["live/root.squashfs"] = root / "root.squashfs"
    assert set(digests) == {*written, "boot/boot.cat"}
    for name, path in written.items():  # that of El Torito has its own place and checksum written into it
        assert (digests[name] == sha256_file(path)) is not name.endswith("eltorito.img"), name
    with FileSource(image) as source:
        table = read_partition_table(Window.over(source))
        assert table is not None
        esp = table.partitions[1]
        (tmp_path / "esp").write_bytes(Window(source, esp.start, esp.size).read(0, esp.size))
    checked = host_tool("fsck.fat", "-n", str(tmp_path / "esp"))
    assert checked.returncode == 0, checked.stdout


def check(image: Path) -> str:
    """What a live system says of a medium with these bytes, by the script that it has."""
    done = subprocess.run(["sh", str(CHECK), str(image)], capture_output=True, text=True, timeout=120)
    return f"{done.returncode} {done.stdout.splitlines()[-1]}"


def test_every_changed_byte_of_what_is_covered_is_found(build: Build, tmp_path: Path) -> None:
    """One in each part: the volume descriptors, directories, kernel, initrd, root filesystem, EFI system partition."""
    image = build("debian13")
    assert check(image) == "0 the medium is whole"
    copy = tmp_path / "copy.iso"
    copy.write_bytes(image.read_bytes())
    with FileSource(image) as source:
        table = read_partition_table(Window.over(source))
    assert table is not None
    end = max(p.start + p.size for p in table.partitions)
    places = {32769, 32768 + 40, 33651 + 30, 34164, 65536 + 8, end - 1, *(end * n // 17 for n in range(1, 17))}
    for place in sorted(places):
        flip(copy, place)
        assert check(copy).startswith("1 this medium "), place
        flip(copy, place)
    flip(copy, 1000)  # the partition table: somebody may add a partition
    assert check(copy) == "0 the medium is whole"


def flip(file: Path, offset: int) -> None:
    with file.open("r+b") as stream:
        stream.seek(offset)
        (byte,) = stream.read(1)
        stream.seek(offset)
        stream.write(bytes([byte ^ 0x40]))


@pytest.mark.matrix
def test_same_lock_same_bits(workshop: Workshop, build: Build, tmp_path: Path) -> None:
    """The second build starts from an empty store."""
    image = build("debian13")
    other = Workshop(tmp_path / "other")
    (other.cache).mkdir(parents=True, mode=0o700)
    (other.cache / "packages").symlink_to(workshop.cache / "packages")
    (other.cache / "locks").symlink_to(workshop.cache / "locks")
    again = _build(other, tmp_path, [], template("debian13"))
    try:
        assert sha256_file(again) == sha256_file(image)
    finally:
        other.bare_sandbox().remove([other.cache / "store", other.cache / "tmp"])


@pytest.mark.boot
@pytest.mark.matrix
@pytest.mark.timeout(2 * SECONDS + 900)
def test_check_from_the_menu_starts_a_whole_medium_and_stops_at_a_damaged_one(build: Build, tmp_path: Path) -> None:
    image = build("debian13")
    assert first_said(image, CHECKING, "this medium is damaged|login: ") == "login: "
    copy = tmp_path / "copy.iso"
    copy.write_bytes(image.read_bytes())
    flip(copy, image.stat().st_size // 2)
    assert first_said(copy, CHECKING, "this medium is damaged|login: ") == "this medium is damaged"


@pytest.mark.boot
@pytest.mark.matrix
@pytest.mark.timeout(2 * SECONDS + 900)
def test_changes_are_kept_on_a_partition_with_the_label(build: Build, tmp_path: Path) -> None:
    """A partition is added to the stick as docs/live-iso.md says; a file of the first start is there in the second."""
    stick = tmp_path / "stick.img"
    stick.write_bytes(build("debian13", USER).read_bytes())
    with stick.open("r+b") as file:
        file.truncate(stick.stat().st_size + (256 << 20))
    subprocess.run(["/usr/sbin/sfdisk", "--quiet", "--append", str(stick)], input=b",,L\n", check=True, timeout=60)
    with FileSource(stick) as source:
        table = read_partition_table(Window.over(source))
    assert table is not None
    third = table.partitions[-1]
    argv = ["/usr/sbin/mke2fs", "-q", "-F", "-t", "ext4", "-L", "LIVE_CHANGES", "-E", f"offset={third.start}"]
    subprocess.run([*argv, str(stick), f"{third.size // 1024}k"], check=True, timeout=60)
    logged_in(stick, Media.USB, KEEPING, "echo kept > ~/note && sync", write=True)
    assert "kept" in logged_in(stick, Media.USB, KEEPING, "cat ~/note")


@pytest.mark.boot
@pytest.mark.matrix
@pytest.mark.timeout(2 * SECONDS + 900)
def test_live_system_finds_the_image_that_its_medium_carries(
    workshop: Workshop, built: Workshop, build: Build, tmp_path: Path
) -> None:
    """A whole image of another template, as it was built. The check of the medium reads it, too."""
    carried = tmp_path / "target.raw.zst"
    done = workshop.run("convert", str(built.image()), "--to", "raw", "--compress", "zstd", "-o", str(carried))
    assert done.returncode == 0, done.stderr
    image = build("debian13", f"{USER}  live:\n    carry: [{{local: {carried}, name: target.raw.zst}}]\n")
    digest = sha256_file(carried)
    (manifest,) = image.parent.glob("*.manifest.json")
    assert json.loads(manifest.read_text())["carried"] == [{"file": "target.raw.zst", "sha256": digest}]
    assert check(image) == "0 the medium is whole"
    assert digest in logged_in(image, Media.CD, TITLE, "sha256sum /run/live/medium/images/target.raw.zst")
    content = carried.read_bytes()
    place = content_at(image, content[:4096])
    flip(image, place + len(content) // 2)
    assert check(image).startswith("1 this medium ")


def content_at(image: Path, beginning: bytes) -> int:
    """The offset of the one sector of a medium at which a file begins with these bytes."""
    content = image.read_bytes()
    assert content.count(beginning) == 1
    return content.index(beginning)


USER = "  users:\n    - {name: ann, password: correct-horse, shell: /bin/bash}\n"


# Entries of the menu, from 0.
TITLE, KEEPING, CHECKING = 0, 1, 2


def choose(guest: Guest, entry: int) -> None:
    """An entry of GRUB's menu, counted from 0, by the serial line."""
    guest.console.expect("automatically", SECONDS)
    for _ in range(entry):
        guest.console.send("\x0e")  # Ctrl-n is the next entry, in one byte: an arrow's three are torn apart under load
        time.sleep(0.5)
    guest.console.send("\r")


def first_said(image: Path, entry: int, pattern: str) -> str:
    """What of `pattern` the console says first once that entry was chosen."""
    with run_guest(image, Machine(kind=FirmwareKind.BIOS, media=Media.CD), SystemClock()) as guest:
        choose(guest, entry)
        return guest.console.expect(pattern, SECONDS)


def logged_in(image: Path, media: Media, entry: int, command: str, *, write: bool = False) -> str:
    """The output of `command`, run by the template's user in the system that this entry of the menu starts."""
    machine = Machine(kind=FirmwareKind.BIOS, media=media, keeps_changes=write)
    with run_guest(image, machine, SystemClock()) as guest:
        console = guest.console
        choose(guest, entry)
        console.expect("login: $", SECONDS)
        console.send("ann\n")
        console.expect("Password: $", 60)
        console.send("correct-horse\n")
        console.expect(r"\$ $", 60)
        console.send(f"{command}; echo E''ND\n")
        return console.expect(r"(?s).*END", 180)

"""`compare` of the built sample: differences planted in a copy are found by their names, and nothing else is."""

from __future__ import annotations

import json
import mmap
import struct
from pathlib import Path

import pytest

from os_image_composer.build.shelf import copy_sparse
from os_image_composer.cli.main import run
from os_image_composer.formats.pe import parse_pe
from os_image_composer.formats.window import Window
from support.small_images import MIB, made
from support.workshop import Workshop

pytestmark = [pytest.mark.build, pytest.mark.matrix]

ESP, ROOT, BLOCK = 1 * MIB, 257 * MIB, 4096
UUID = "11111111-2222-4333-8444-555555555555"
UKI = "partition 1:/EFI/Linux/debian13-minimal.efi"
NET_RAW = "0100000200200000000000000000000000000000"
STATUS, SPDX = "/var/lib/dpkg/status", "/usr/share/sbom/debian13-minimal.spdx.json"


@pytest.fixture
def copy(built: Workshop, tmp_path: Path) -> Path:
    copy_sparse(built.image(), tmp_path / "copy.raw")
    return tmp_path / "copy.raw"


def in_root(disk: Path, *commands: str) -> str:
    text = "\n".join(commands).encode()
    return made("debugfs", "-w", "-f", "-", f"{disk}?offset={ROOT}", stdin=text).stdout.decode()


def flip(disk: Path, place: int, new: bytes = b"") -> None:
    with disk.open("r+b") as stream:
        stream.seek(place)
        byte = stream.read(max(1, len(new)))
        stream.seek(place)
        stream.write(new or bytes([byte[0] ^ 1]))


def place_in_root(disk: Path, path: str, text: bytes) -> int:
    """Where on the disk `text` is first found in a file that lies in one piece there."""
    number = in_root(disk, f"blocks {path}").splitlines()[-1].split()[0]
    start = ROOT + int(number) * BLOCK
    with disk.open("rb") as stream, mmap.mmap(stream.fileno(), 0, prot=mmap.PROT_READ) as data:
        place = data.find(text, start)
    assert place >= 0
    return place


def place_on_esp(disk: Path, text: bytes) -> int:
    with disk.open("rb") as stream, mmap.mmap(stream.fileno(), ROOT, prot=mmap.PROT_READ) as data:
        place = data.find(text, ESP)
    assert place >= 0
    return place


def told(a: Path, b: Path, capsys: pytest.CaptureFixture[str], status: int) -> set[tuple[str, str, str]]:
    capsys.readouterr()
    assert run(["compare", "--json", str(a), str(b)]) == status
    value = json.loads(capsys.readouterr().out)
    assert (value["more"], value["equal"]) == (0, status == 0)
    return {(d["area"], d["where"], d["kind"]) for d in value["differences"]}


def test_thirty_planted_differences_are_found_and_nothing_else(
    built: Workshop, copy: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    original = built.image()
    assert told(original, copy, capsys, 0) == set()

    # Files: a byte, and all that is said of a file.
    flip(copy, place_in_root(copy, "/etc/hostname", b"debian13"))
    package = place_in_root(copy, STATUS, b"Package: openssh-server\n")
    flip(copy, place_in_root_from(copy, package, b"\nVersion: ") + 10, b"9")
    flip(copy, place_in_root(copy, SPDX, b'"SPDX-2.3"') + 8, b"2")
    capability, acl = tmp_path / "capability", tmp_path / "acl"
    capability.write_bytes(bytes.fromhex(NET_RAW))
    entries = [(0x01, 6, -1), (0x02, 4, 1234), (0x04, 4, -1), (0x10, 4, -1), (0x20, 4, -1)]
    acl.write_bytes(struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *entry) for entry in entries))
    in_root(
        copy,
        "sif /etc/fstab mode 0100600",
        "sif /usr/bin/zstd mode 0104755",
        "sif /var/tmp mode 040777",
        "sif /etc/passwd uid 4242",
        "sif /etc/shadow gid 4242",
        "sif /usr/lib/os-release mtime @1700000001",
        "sif /etc/issue flags 0x80010",
        "ea_set /etc/hosts user.note first",
        "ea_set /etc/group security.selinux label_t",
        f"ea_set -f {capability} /usr/bin/less security.capability",
        f"ea_set -f {acl} /etc/gshadow system.posix_acl_access",
        "rm /etc/issue.net",
        "cd /etc",
        "mknod extra p",
        "cd /",
        "unlink /usr/share/doc/less",
    )
    # Boot files, of the UKI three sections.
    made("mcopy", "-i", f"{copy}@@{ESP}", "::EFI/Linux/debian13-minimal.efi", str(tmp_path / "uki"))
    uki = (tmp_path / "uki").read_bytes()
    start = place_on_esp(copy, uki[:65536])
    sections = {section.name: section for section in parse_pe(Window.of(uki)).sections}
    flip(copy, start + sections[".cmdline"].offset + uki[sections[".cmdline"].offset :].index(b"tty0") + 3, b"1")
    flip(copy, start + sections[".initrd"].offset + 1000)
    flip(copy, start + sections[".linux"].offset + 100_000)
    flip(copy, place_on_esp(copy, b"timeout 0\n") + 8, b"9")
    # What is around the files.
    made("tune2fs", "-f", "-U", UUID, "-L", "other", f"{copy}?offset={ROOT}")
    made("mlabel", "-i", f"{copy}@@{ESP}", "-N", "12345678", "::OTHER")
    for words in (
        ("--part-label", "2", "toor"),
        ("--part-type", "2", "L"),
        ("--part-uuid", "2", UUID),
        ("--part-attrs", "2", "GUID:59"),
    ):
        made("sfdisk", "-q", words[0], str(copy), *words[1:])
    made("sfdisk", "-q", "--disk-id", str(copy), UUID)
    flip(copy, 7)
    flip(copy, 40 * 512)

    def files(kind: str, *paths: str) -> set[tuple[str, str, str]]:
        return {("file", path, kind) for path in paths}

    expected = {
        *files("content", "/etc/hostname", STATUS, SPDX),
        *files("mode", "/etc/fstab", "/usr/bin/zstd", "/var/tmp"),
        *files("owner", "/etc/passwd", "/etc/shadow"),
        *files("mtime", "/usr/lib/os-release"),
        *files("flags", "/etc/issue"),
        *files("attribute", "/etc/hosts", "/etc/group"),
        *files("capability", "/usr/bin/less"),
        *files("acl", "/etc/gshadow"),
        *files("missing", "/etc/issue.net", "/etc/extra", "/usr/share/doc/less"),
        ("package", "openssh-server:amd64", "version"),
        ("sbom", SPDX, "content"),
        *(("boot", UKI, kind) for kind in ("command-line", "section .initrd", "section .linux")),
        ("boot", "partition 1:/loader/loader.conf", "content"),
        *(("filesystem", "partition 1 (esp)", kind) for kind in ("label", "uuid")),
        *(("filesystem", "partition 2", kind) for kind in ("label", "uuid")),
        *(("partition", "partition 2", kind) for kind in ("label", "type", "uuid", "flags")),
        ("disk", "partition table", "uuid"),
        ("boot", "boot sector", "content"),
        ("disk", "outside of the partitions", "bytes"),
    }
    found = told(original, copy, capsys, 1)
    assert (found - expected, expected - found) == (set(), set())
    assert len(found) > 30


def place_in_root_from(disk: Path, start: int, text: bytes) -> int:
    with disk.open("rb") as stream, mmap.mmap(stream.fileno(), 0, prot=mmap.PROT_READ) as data:
        place = data.find(text, start)
    assert place >= 0
    return place

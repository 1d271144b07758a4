"""`compare`: each planted difference is found, by its name and alone; between equal images there is none."""

from __future__ import annotations

import json
import os
import struct
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from os_image_composer.cli.main import run
from os_image_composer.errors import ImageError, UsageError
from os_image_composer.report.compare import compare
from os_image_composer.report.differences import Area
from support.efi_programs import efi_program, signature_blob
from support.small_images import MIB, ext_image, fat_image, made

from .conftest import CMDLINE, assemble, esp_files, root_files

ESP, ROOT = 1 * MIB, 25 * MIB
Plant = Callable[[Path], None]
Found = set[tuple[str, str, str]]
NET_RAW = "0100000200200000000000000000000000000000"  # cap_net_raw=ep


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A disk as small as one can be that has everything that is compared."""
    folder = tmp_path_factory.mktemp("compared")
    root = root_files(folder / "root-files")
    for name, content in {"tool": b"\x7fELF tool" * 200, "shared": b"shared", "plain": b"a plain file\n"}.items():
        (root / name).write_bytes(content)
    (root / "second-name").hardlink_to(root / "shared")
    (root / "link").symlink_to("where-the-link-leads")
    (root / "long-link").symlink_to("a-name/" * 20 + "the-end-of-the-link")  # longer than an inode has room for
    (root / "folder" / "inside").mkdir(parents=True)
    (root / "folder" / "inside" / "file").write_bytes(b"x")
    os.mkfifo(root / "pipe")
    for path in (root, *root.rglob("*")):
        os.utime(path, (1_700_000_000, 1_700_000_000), follow_symlinks=False)
    ext4 = ext_image(folder / "root", root, "ext4", "-b", "1024", size=8 * MIB)
    (folder / "capability").write_bytes(bytes.fromhex(NET_RAW))
    commands = [
        "mknod device c 1 3",
        "sif device mode 020644",
        "sif device mtime @1700000000",
        f"ea_set -f {folder}/capability tool security.capability",
        "ea_set plain user.note first",
    ]
    made("debugfs", "-w", "-f", "-", str(ext4), stdin="\n".join(commands).encode())
    return assemble(folder / "original.raw", fat_image(folder / "esp", 16, esp_files(folder / "esp-files")), ext4)


@pytest.fixture
def copy(original: Path, tmp_path: Path) -> Path:
    made("cp", "--sparse=always", str(original), str(tmp_path / "copy.raw"))
    return tmp_path / "copy.raw"


def found(a: Path, b: Path) -> Found:
    return {(d.area.value, d.where, d.kind) for d in compare(a, b).differences}


def in_root(*commands: str) -> Plant:
    def plant(disk: Path) -> None:
        made("debugfs", "-w", "-f", "-", f"{disk}?offset={ROOT}", stdin="\n".join(commands).encode())

    return plant


def in_bytes(old: bytes, new: bytes) -> Plant:
    """Each occurrence: the journal may hold one, too."""

    def plant(disk: Path) -> None:
        data = disk.read_bytes()
        assert old in data and len(old) == len(new)
        disk.write_bytes(data.replace(old, new))

    return plant


def at_byte(offset: int) -> Plant:
    def plant(disk: Path) -> None:
        with disk.open("r+b") as stream:
            stream.seek(offset)
            byte = stream.read(1)
            stream.seek(offset)
            stream.write(bytes([byte[0] ^ 1]))

    return plant


def with_tool(*argv: str) -> Plant:
    return lambda disk: void(made(*(str(disk) if word == "DISK" else word for word in argv)))


def with_mtools(*argv: str, stdin: bytes = b"") -> Plant:
    return lambda disk: void(made(argv[0], "-i", f"{disk}@@{ESP}", *argv[1:], stdin=stdin))


def with_ext(*argv: str) -> Plant:
    return lambda disk: void(made(argv[0], *argv[1:], f"{disk}?offset={ROOT}"))


def void(_: subprocess.CompletedProcess[bytes]) -> None:
    pass


def with_acl(disk: Path) -> None:
    """As setxattr(2) takes it: version 2, then tag, permissions and id of each entry."""
    entries = [(0x01, 6, -1), (0x02, 4, 1234), (0x04, 4, -1), (0x10, 4, -1), (0x20, 4, -1)]
    acl = disk.with_name("acl")
    acl.write_bytes(struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *entry) for entry in entries))
    in_root(f"ea_set -f {acl} plain system.posix_acl_access")(disk)


def with_capability(disk: Path) -> None:
    value = disk.with_name("capability")
    value.write_bytes(bytes.fromhex(NET_RAW.replace("00200000", "00300000", 1)))
    in_root(f"ea_set -f {value} tool security.capability")(disk)


def with_super_block(plant: Plant) -> Plant:
    """Tools note in it when they wrote; here only what was asked for may differ."""

    def whole(disk: Path) -> None:
        with disk.open("rb") as stream:
            stream.seek(ROOT + 1024 + 48)
            written = int.from_bytes(stream.read(4), "little")
        plant(disk)
        with disk.open("r+b") as stream:
            stream.seek(ROOT + 1024 + 48)
            stream.write(written.to_bytes(4, "little"))

    return whole


def with_uki(sections: dict[str, bytes], certificate: bytes = b"") -> Plant:
    """The UKI made anew with other sections, and written at the time at which the old one was."""

    def plant(disk: Path) -> None:
        own = {".osrel": b"ID=sample\n", ".cmdline": CMDLINE.encode() + b"\0", ".uname": b"6.1.0-9"}
        uki = disk.with_name("uki")
        uki.write_bytes(efi_program({**own, ".linux": b"k" * 900, **sections}, certificate=certificate))
        times = entry(disk, b"SAMPLE  EFI")
        with_mtools("mcopy", "-o", str(uki), "::EFI/Linux/sample.efi")(disk)
        place, now = entry(disk, b"SAMPLE  EFI")
        with disk.open("r+b") as stream:
            stream.seek(place)
            # Times from byte 13 to 19 and 22 to 25; between and behind them is where the file begins, and its size.
            stream.write(now[:13] + times[1][13:20] + now[20:22] + times[1][22:26] + now[26:])

    return plant


def entry(disk: Path, name: bytes) -> tuple[int, bytes]:
    """Where the ESP's folder says something of a file, and what (FAT specification, "Directory Structure")."""
    data = disk.read_bytes()
    place = data.find(name, ESP, ROOT)
    assert place > 0
    return place, data[place : place + 32]


def signed(disk: Path) -> None:
    with_uki({}, signature_blob(disk.parent))(disk)


def with_table(*argv: str, stdin: str) -> Plant:
    return lambda disk: void(made("sfdisk", "-q", *argv, str(disk), stdin=stdin.encode()))


def at_name(name: bytes, offset: int) -> Plant:
    """A bit of what the ESP says of a file, so many bytes from its short name on."""
    return lambda disk: at_byte(entry(disk, name)[0] + offset)(disk)


def in_place_of_holes(disk: Path) -> None:
    data = disk.read_bytes()
    disk.unlink()
    disk.write_bytes(data)


def longer(disk: Path) -> None:
    with disk.open("r+b") as stream:
        stream.truncate(disk.stat().st_size + MIB)


@dataclass(frozen=True)
class Case:
    plant: Plant
    expected: Found


def file(where: str, *kinds: str) -> Found:
    return {("file", where, kind) for kind in kinds}


LOADER = "partition 1:/loader/loader.conf"
UKI = "partition 1:/EFI/Linux/sample.efi"
OTHER_UUID = "11111111-2222-4333-8444-555555555555"
CASES = {
    "one byte in a file": Case(in_bytes(b"a plain file\n", b"a plain fIle\n"), file("/plain", "content")),
    "a file's length": Case(in_root("sif plain size 12"), file("/plain", "content")),
    "a mode": Case(in_root("sif plain mode 0100600"), file("/plain", "mode")),
    "a setuid bit": Case(in_root("sif tool mode 0104644"), file("/tool", "mode")),
    "a folder's mode": Case(in_root("sif folder mode 041777"), file("/folder", "mode")),
    "the root folder's mode": Case(in_root("sif / mode 040700"), file("/", "mode")),
    "an owner": Case(in_root("sif plain uid 4242"), file("/plain", "owner")),
    "a group": Case(in_root("sif plain gid 4242"), file("/plain", "owner")),
    "a time": Case(in_root("sif plain mtime @1700000001"), file("/plain", "mtime")),
    "an attribute's value": Case(in_root("ea_set plain user.note other"), file("/plain", "attribute")),
    "an attribute more": Case(in_root("ea_set tool user.more 1"), file("/tool", "attribute")),
    "an attribute less": Case(in_root("ea_rm plain user.note"), file("/plain", "attribute")),
    "a capability less": Case(in_root("ea_rm tool security.capability"), file("/tool", "capability")),
    "an access list": Case(with_acl, file("/plain", "acl")),
    "a link's target": Case(in_bytes(b"where-the-link-leads", b"where-the-link-LEADS"), file("/link", "target")),
    "a missing file": Case(in_root("rm plain"), file("/plain", "missing")),
    "a file more": Case(in_root("mknod more p"), file("/more", "missing")),
    "a missing folder": Case(in_root("unlink folder"), file("/folder", "missing")),
    "a file that cannot be changed": Case(in_root("sif plain flags 0x80010"), file("/plain", "flags")),
    "the time of a status change": Case(
        with_super_block(in_root("sif plain ctime @1600000000")), {("file", "partition 2:/plain", "ctime")}
    ),
    "a fraction of a second": Case(
        with_super_block(in_root("sif plain mtime_extra 400")), {("file", "partition 2:/plain", "mtime-fraction")}
    ),
    "the seed of the folders' hashes": Case(
        with_super_block(in_root(f"ssv hash_seed {OTHER_UUID}")), {("filesystem", "partition 2 (root)", "hash-seed")}
    ),
    "a device's numbers": Case(in_root("sif device block[0] 0x105"), file("/device", "device")),
    "another kind of device": Case(in_root("sif device mode 060644"), file("/device", "device")),
    "another type of file": Case(in_root("sif pipe mode 0120777"), file("/pipe", "type")),
    "a hard link that is none": Case(
        in_root("unlink second-name", "ln plain second-name"),
        file("/second-name", "hard-link", "content", "attribute") | file("/shared", "hard-link"),
    ),
    "a package's version": Case(
        in_bytes(b"Version: 1.2-3", b"Version: 1.2-4"),
        {("package", "base:amd64", "version")} | file("/var/lib/dpkg/status", "content"),
    ),
    "a package more": Case(
        in_bytes(b"Status: deinstall ok config-files", b"Status: deinstall ok installed   "),
        {("package", "gone:amd64", "missing")} | file("/var/lib/dpkg/status", "content"),
    ),
    "a bill of materials": Case(
        in_bytes(b'"SPDX-2.3"', b'"SPDX-2.2"'),
        {("sbom", "/usr/share/sbom/sample.spdx.json", "content")} | file("/usr/share/sbom/sample.spdx.json", "content"),
    ),
    "a partition's type": Case(
        with_tool("sfdisk", "-q", "--part-type", "DISK", "2", "S"), {("partition", "partition 2", "type")}
    ),
    "a partition's label": Case(
        with_tool("sfdisk", "-q", "--part-label", "DISK", "2", "toor"), {("partition", "partition 2", "label")}
    ),
    "a partition's uuid": Case(
        with_tool("sfdisk", "-q", "--part-uuid", "DISK", "2", OTHER_UUID), {("partition", "partition 2", "uuid")}
    ),
    "a partition's flag": Case(
        with_tool("sfdisk", "-q", "--part-attrs", "DISK", "2", "GUID:60"), {("partition", "partition 2", "flags")}
    ),
    "the disk's uuid": Case(
        with_tool("sfdisk", "-q", "--disk-id", "DISK", OTHER_UUID), {("disk", "partition table", "uuid")}
    ),
    "a missing partition": Case(
        with_tool("sfdisk", "-q", "--delete", "DISK", "2"), {("partition", "partition 2", "missing")}
    ),
    "the disk's size": Case(longer, {("disk", "disk", "size"), ("disk", "partition table", "faults")}),
    "a boot sector's program": Case(at_byte(7), {("boot", "boot sector", "content")}),
    "a byte between the partitions": Case(at_byte(40 * 512), {("disk", "outside of the partitions", "bytes")}),
    "a byte of the table's copy": Case(at_byte(34 * MIB - 512), {("disk", "partition table", "faults")}),
    "a byte that no file has": Case(at_byte(33 * MIB - 700), {("partition", "partition 2 (root)", "bytes")}),
    "a filesystem's label": Case(with_ext("tune2fs", "-L", "other"), {("filesystem", "partition 2 (root)", "label")}),
    "a filesystem's uuid": Case(
        with_ext("tune2fs", "-f", "-U", OTHER_UUID), {("filesystem", "partition 2 (root)", "uuid")}
    ),
    "the ESP's label": Case(with_mtools("mlabel", "::OTHER"), {("filesystem", "partition 1 (esp)", "label")}),
    "the ESP's serial number": Case(
        with_mtools("mlabel", "-N", "12345678", "::SAMPLE"), {("filesystem", "partition 1 (esp)", "uuid")}
    ),
    "the command line": Case(in_bytes(b"root=UUID=1 quiet", b"root=UUID=2 quiet"), {("boot", UKI, "command-line")}),
    "a section of the UKI": Case(in_bytes(b"k" * 900, b"k" * 899 + b"K"), {("boot", UKI, "section .linux")}),
    "the UKI's os-release": Case(
        # Of the two places the ESP's is the one behind the section before it.
        in_bytes(b"ID=sample\n" + bytes(64), b"ID=sampla\n" + bytes(64)),
        {("boot", UKI, "os-release")},
    ),
    "a file of the ESP": Case(
        in_bytes(b"timeout 3\n", b"timeout 5\n"), {("boot", "partition 1:/loader/loader.conf", "content")}
    ),
    "a missing file of the ESP": Case(
        with_mtools("mdel", "::loader/loader.conf"), {("boot", "partition 1:/loader/loader.conf", "missing")}
    ),
    "a section more in the UKI": Case(with_uki({".initrd": b"i" * 700}), {("boot", UKI, "section .initrd")}),
    "the UKI's kernel release": Case(
        with_uki({".uname": b"6.1.0-8"}), {("boot", UKI, "kernel-release"), ("boot", UKI, "program")}
    ),
    "a signature of the UKI": Case(signed, {("boot", UKI, "signature")}),
    "another name of a boot file": Case(
        with_mtools("mren", "::EFI/Linux/sample.efi", "other.efi"),
        {("boot", UKI, "missing"), ("boot", UKI.replace("sample", "other"), "missing")},
    ),
    "a boot file's time": Case(at_name(b"LOADER~1CON", 22), {("boot", LOADER, "mtime")}),
    "a boot file's time of making": Case(at_name(b"LOADER~1CON", 14), {("partition", "partition 1 (esp)", "bytes")}),
    "a boot file that is hidden": Case(at_name(b"LOADER~1CON", 11), {("partition", "partition 1 (esp)", "bytes")}),
    "a SELinux label": Case(in_root("ea_set tool security.selinux bin_t"), file("/tool", "label")),
    "a capability's value": Case(with_capability, file("/tool", "capability")),
    "a long link's target": Case(
        in_bytes(b"the-end-of-the-link", b"the-End-of-the-link"), file("/long-link", "target")
    ),
    "a sticky bit": Case(in_root("sif folder mode 041755"), file("/folder", "mode")),
    "another package": Case(
        in_bytes(b"Package: base\n", b"Package: bass\n"),
        {("package", "base:amd64", "missing"), ("package", "bass:amd64", "missing")}
        | file("/var/lib/dpkg/status", "content"),
    ),
    "a package's architecture": Case(
        in_bytes(b"Architecture: amd64\nVersion: 1", b"Architecture: arm64\nVersion: 1"),
        {("package", "base:amd64", "missing"), ("package", "base:arm64", "missing")}
        | file("/var/lib/dpkg/status", "content"),
    ),
    "a partition's size": Case(  # its file system does not fit any more
        with_table("-N", "2", stdin="25MiB, 7MiB"),
        {("partition", "partition 2", "size"), ("filesystem", "partition 2 (root)", "unreadable")},
    ),
    "a partition more": Case(
        with_table("-a", stdin="start=67584, size=100, type=L"), {("partition", "partition 3", "missing")}
    ),
    "a filesystem's features": Case(
        with_ext("tune2fs", "-O", "^large_file"), {("filesystem", "partition 2 (root)", "features")}
    ),
    "what a filesystem keeps for root": Case(
        with_super_block(with_ext("tune2fs", "-r", "77")), {("partition", "partition 2 (root)", "bytes")}
    ),
    "a folder more on the ESP": Case(with_mtools("mmd", "::EFI/BOOT"), {("boot", "partition 1:/EFI/BOOT", "missing")}),
}


@pytest.mark.parametrize("name", CASES)
def test_a_planted_difference_is_found_and_nothing_else(
    name: str, original: Path, copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    CASES[name].plant(copy)
    assert found(original, copy) == CASES[name].expected
    assert run(["compare", "--json", str(copy), str(original)]) == 1
    told = json.loads(capsys.readouterr().out)
    assert {(d["area"], d["where"], d["kind"]) for d in told["differences"]} == CASES[name].expected
    assert len(told["differences"]) == len(CASES[name].expected) and told["more"] == 0 and not told["equal"]


def test_several_differences_hide_none_of_them(original: Path, copy: Path) -> None:
    cases = [CASES[name] for name in ("a mode", "the command line", "a time", "a partition's flag", "an owner")]
    for case in cases:
        case.plant(copy)
    at_byte(700)(copy)  # of the first sector of the GPT, behind its header
    at_byte(40 * 512)(copy)
    expected = set().union(*(case.expected for case in cases))
    assert found(original, copy) == expected | CASES["a byte between the partitions"].expected


def test_equal_images_have_no_difference(original: Path, copy: Path) -> None:
    assert compare(original, copy).equal
    assert compare(original, original).equal
    in_place_of_holes(copy)
    assert copy.stat().st_blocks > original.stat().st_blocks
    assert compare(original, copy).equal


def test_values_are_told_in_words_of_the_tools_that_people_know(original: Path, copy: Path) -> None:
    in_root("sif plain mode 0100600", "ea_rm tool security.capability", "sif device block[0] 0x105")(copy)
    in_root('ea_set plain security.selinux "u:r:t:s0\\000"', "ea_set device security.selinux u:r:t:s0")(copy)
    in_bytes(b"root=UUID=1 quiet", b"root=UUID=2 quiet")(copy)
    told = {(d.kind, d.a, d.b) for d in compare(original, copy).differences}
    assert ("mode", "0644", "0600") in told
    assert ("capability", "cap_net_raw=ep", None) in told
    assert {("label", None, "u:r:t:s0"), ("label", None, "u:r:t:s0 (without the last byte)")} <= told
    assert ("device", "character device 1:3", "character device 1:5") in told
    command_line = next(d for d in compare(original, copy).differences if d.kind == "command-line")
    assert (command_line.area, command_line.a, command_line.b) == (
        Area.BOOT,
        "root=UUID=1 quiet \x1b[31m",
        "root=UUID=2 quiet \x1b[31m",
    )


def test_exit_codes_and_json(original: Path, copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["compare", str(original), str(copy)]) == 0
    assert "every byte is the same" in capsys.readouterr().out
    in_root("sif plain mode 0100600")(copy)
    assert run(["compare", "--json", str(original), str(copy)]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["equal"] is False and told["what"] == "image" and told["more"] == 0
    assert told["differences"] == [{"area": "file", "where": "/plain", "kind": "mode", "a": "0644", "b": "0600"}]
    assert run(["compare", str(original), str(copy)]) == 1
    assert "/plain: mode: 0644 -> 0600" in capsys.readouterr().out
    assert run(["compare", str(original), str(copy.parent)]) == 2
    assert run(["compare", str(original), "/nowhere"]) == 2
    assert run(["compare", str(original)]) == 2


def test_what_a_terminal_would_obey_is_escaped(original: Path, copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    in_bytes(b"root=UUID=1 quiet", b"root=UUID=2 quiet")(copy)
    run(["compare", str(original), str(copy)])
    assert "\x1b" not in capsys.readouterr().out


def test_what_is_no_disk_is_refused(original: Path, tmp_path: Path) -> None:
    other = tmp_path / "text"
    other.write_text("no disk\n" * 1000)
    with pytest.raises(ImageError) as caught:
        compare(original, other)
    assert caught.value.reference == "no-image"
    with pytest.raises(UsageError) as unlike:
        compare(original, tmp_path)
    assert unlike.value.reference == "unlike"

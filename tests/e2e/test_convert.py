"""`convert` on a small disk: every way to write each format; what is damaged, hostile or in the way."""

from __future__ import annotations

import os
import random
import struct
import subprocess
import zlib
from pathlib import Path

import pytest

from os_image_composer.build.canonical import sha256_file
from support.container import as_ordinary_user, container_argv, tmpfs
from support.small_images import MIB, partitioned
from support.tools import host_tool
from support.virtual_disks import qcow2, vdi, vhd, vmdk
from support.workshop import CHECKOUT, Workshop

pytestmark = [pytest.mark.build, pytest.mark.timeout(900)]

WAYS = {
    "qcow2": ["--to", "qcow2"],
    "vhd": ["--to", "vhd"],
    "vhd-dynamic": ["--to", "vhd", "--subformat", "dynamic"],
    "vhdx": ["--to", "vhdx"],
    "vmdk": ["--to", "vmdk"],
    "vmdk-stream": ["--to", "vmdk", "--subformat", "streamOptimized"],
    "vdi": ["--to", "vdi"],
    "zst": ["--to", "raw", "--compress", "zstd"],
    "gz": ["--to", "raw", "--compress", "gz"],
    "xz": ["--to", "raw", "--compress", "xz"],
    "bz2": ["--to", "raw", "--compress", "bz2"],
    "both": ["--to", "vmdk", "--compress", "gz"],
}
#: Programs that are not ours and read what was compressed.
UNPACK = {"zst": ["zstd", "-dc"], "gz": ["gzip", "-dc"], "xz": ["xz", "-dc"], "bz2": ["bzip2", "-dc"]}


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """96 MiB with a partition table; random bytes, text and zeros that were written, each in a few places."""
    path = partitioned(tmp_path_factory.mktemp("disk") / "small.raw", "label: gpt\nstart=1MiB\n", 96 * MIB)
    source = random.Random(1)
    with path.open("r+b") as file:
        for place in (2, 17, 40, 77):
            file.seek(place * MIB + 4096)
            file.write(source.randbytes(700_000) + bytes(300_000) + b"text " * 60_000)
    return path


@pytest.fixture(scope="module")
def full(disk: Path) -> Path:
    """The same bytes in a file without holes, elsewhere."""
    path = disk.with_name("full").joinpath("another name.img")
    path.parent.mkdir()
    path.write_bytes(disk.read_bytes())
    assert path.stat().st_blocks > disk.stat().st_blocks
    return path


def convert(workshop: Workshop, image: Path, *words: str, cpus: str = "") -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(CHECKOUT / "src")}
    argv = [*(["taskset", "-c", cpus] if cpus else []), *workshop.argv("convert", str(image), *words)]
    return subprocess.run(argv, env=env, cwd=CHECKOUT, capture_output=True, text=True, timeout=600)


@pytest.mark.parametrize("way", WAYS)
def test_the_same_disk_is_the_same_file_and_comes_back(
    way: str, workshop: Workshop, disk: Path, full: Path, tmp_path: Path
) -> None:
    for folder in ("one", "other"):
        (tmp_path / folder).mkdir()
    one, other = tmp_path / "one" / f"a.{way}", tmp_path / "other" / f"a.{way}"
    first = convert(workshop, disk, *WAYS[way], "-o", str(one))
    assert first.returncode == 0, first.stderr
    second = convert(workshop, full, *WAYS[way], "-o", str(other), cpus="0")
    assert second.returncode == 0, second.stderr
    assert sha256_file(one) == sha256_file(other)
    back = tmp_path / "back.raw"
    third = convert(workshop, one, "--to", "raw", "-o", str(back), "--quiet")
    assert (third.returncode, third.stdout) == (0, f"{back}\n"), third.stderr
    assert sha256_file(back) == sha256_file(disk)
    if way in UNPACK:
        assert host_tool(*UNPACK[way], str(one)).stdout == disk.read_bytes()
    for path in tmp_path.rglob("*"):
        assert path.is_dir() or path in (one, other, back), "something unfinished was left behind"


def test_another_disk_has_other_ids(workshop: Workshop, disk: Path, tmp_path: Path) -> None:
    """VirtualBox refuses a second disk with the UUID of one that it knows."""
    changed = tmp_path / "changed.raw"
    data = bytearray(disk.read_bytes())
    data[50 * MIB] ^= 1
    changed.write_bytes(data)
    ids = []
    for number, image in enumerate((disk, changed)):
        target = tmp_path / f"{number}.vdi"
        assert convert(workshop, image, "--to", "vdi", "-o", str(target)).returncode == 0
        ids.append(target.read_bytes()[392:424])
    assert ids[0] != ids[1] and ids[0][:16] != ids[0][16:]


def test_without_a_name_the_file_lies_beside_the_image(workshop: Workshop, disk: Path) -> None:
    done = convert(workshop, disk, "--to", "qcow2")
    assert done.returncode == 0, done.stderr
    assert f"image     {disk.with_suffix('.qcow2')}" in done.stdout
    disk.with_suffix(".qcow2").unlink()


def refused(done: subprocess.CompletedProcess[str], reference: str, *words: str) -> None:
    assert done.returncode in (1, 2)
    assert f"error[{reference}]" in done.stderr, done.stderr
    for word in words:
        assert word in done.stderr
    assert "Traceback" not in done.stderr


def test_a_truncated_image_is_refused(workshop: Workshop, disk: Path, tmp_path: Path) -> None:
    for size, words in ((60 * MIB, "was cut off"), (60 * MIB + 100, "no whole number of sectors"), (0, "no disk")):
        cut = tmp_path / "cut.raw"
        cut.write_bytes(disk.read_bytes()[:size])
        refused(convert(workshop, cut, "--to", "qcow2", "-o", str(tmp_path / "x")), "damaged-image", words)
    assert [path.name for path in tmp_path.iterdir()] == ["cut.raw"]


@pytest.mark.parametrize("form", ["qcow2", "vmdk", "vhdx", "vdi", "vhd-dynamic", "zst", "xz", "gz", "bz2"])
def test_a_truncated_file_of_another_format_is_refused(
    form: str, workshop: Workshop, disk: Path, tmp_path: Path
) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert convert(workshop, disk, *WAYS[form], "-o", str(whole)).returncode == 0
    data = whole.read_bytes()
    whole.unlink()
    for size in (len(data) // 3, len(data) - 4000):
        cut.write_bytes(data[:size])
        refused(convert(workshop, cut, "--to", "raw", "-o", str(tmp_path / "x")), "damaged-image", str(cut))
        assert [path.name for path in tmp_path.iterdir()] == ["cut"]


@pytest.mark.parametrize("form", ["qcow2", "vmdk"])
def test_a_file_whose_tables_name_one_place_twice_or_none_is_refused(
    form: str, workshop: Workshop, disk: Path, tmp_path: Path
) -> None:
    """Of its length nothing is missing: qemu-img's own check finds it."""
    image = tmp_path / "damaged"
    assert convert(workshop, disk, *WAYS[form], "-o", str(image)).returncode == 0
    data = bytearray(image.read_bytes())
    if form == "qcow2":
        (first,) = struct.unpack_from(">Q", data, struct.unpack_from(">Q", data, 40)[0])
        table = first & 0x00FFFFFFFFFFFE00
        used = [at for at in range(table, table + 65536, 8) if any(data[at : at + 8])]
        data[used[1] : used[1] + 8] = data[used[0] : used[0] + 8]
    else:
        (directory,) = struct.unpack_from("<Q", data, 56)
        struct.pack_into("<I", data, directory * 512, 1 << 31)
    image.write_bytes(data)
    refused(convert(workshop, image, "--to", "raw", "-o", str(tmp_path / "x")), "damaged-image", str(image))
    assert not (tmp_path / "x").exists()


def test_what_is_no_disk_is_refused(workshop: Workshop, tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_bytes(b"not a disk\n" * 512 * 11)
    refused(convert(workshop, text, "--to", "vdi", "-o", str(tmp_path / "x")), "no-image")
    refused(convert(workshop, tmp_path, "--to", "vdi", "-o", str(tmp_path / "x")), "unreadable-image")
    refused(convert(workshop, tmp_path / "absent", "--to", "vdi"), "unreadable-image")
    os.mkfifo(tmp_path / "pipe")
    refused(convert(workshop, tmp_path / "pipe", "--to", "vdi"), "unreadable-image")


@pytest.mark.parametrize(
    "data",
    [
        qcow2(MIB, backing=512).ljust(512, b"\0") + b"/etc/shadow",
        qcow2(MIB, features=4),
        vmdk(MIB, text=b'# Disk DescriptorFile\nCID=1\nparentCID=2\nparentFileNameHint="/etc/shadow"\n'),
        vmdk(0, text=b'# Disk DescriptorFile\nCID=1\nRW 8 FLAT "/etc/shadow" 0\n'),
        b'# Disk DescriptorFile\nversion=1\nCID=1\nRW 8 FLAT "/etc/shadow" 0\n',
        vdi(MIB, kind=4),
        vhd(MIB, kind=4),
    ],
)
def test_a_disk_that_names_a_file_of_the_host_is_refused(data: bytes, workshop: Workshop, tmp_path: Path) -> None:
    image = tmp_path / "hostile"
    image.write_bytes(data)
    refused(convert(workshop, image, "--to", "raw", "-o", str(tmp_path / "x")), "image-in-parts")
    assert not (tmp_path / "x").exists()


def test_a_disk_of_impossible_size_is_refused(workshop: Workshop, tmp_path: Path) -> None:
    image = tmp_path / "hostile"
    image.write_bytes(qcow2(1 << 62))
    refused(convert(workshop, image, "--to", "raw", "-o", str(tmp_path / "x")), "damaged-image", "claims a disk of")


def test_nothing_is_overwritten_and_no_link_is_followed(workshop: Workshop, disk: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("mine")
    (tmp_path / "link").symlink_to(precious)
    (tmp_path / "nowhere").symlink_to(tmp_path / "absent")
    for name in ("precious", "link", "nowhere"):
        refused(convert(workshop, disk, "--to", "raw", "--compress", "gz", "-o", str(tmp_path / name)), "file-exists")
    assert precious.read_text() == "mine" and not (tmp_path / "absent").exists()
    refused(convert(workshop, disk, "--to", "vdi", "-o", str(tmp_path / "none" / "x")), "no-such-folder")
    refused(convert(workshop, disk, "--to", "raw", "-o", str(tmp_path / "x")), "nothing-to-convert")


def test_azure_takes_whole_mebibytes_only(workshop: Workshop, tmp_path: Path) -> None:
    odd = partitioned(tmp_path / "odd.raw", "label: gpt\nstart=1MiB\n", 8 * MIB + 512)
    refused(convert(workshop, odd, "--to", "vhd", "-o", str(tmp_path / "x")), "unaligned-image", "--subformat dynamic")
    done = convert(workshop, odd, "--to", "vhd", "--subformat", "dynamic", "-o", str(tmp_path / "x"))
    assert done.returncode == 0, done.stderr
    (size,) = struct.unpack_from(">Q", (tmp_path / "x").read_bytes(), 48)
    assert size == odd.stat().st_size


@as_ordinary_user
@pytest.mark.parametrize("words", [["--to", "vhd"], ["--to", "raw", "--compress", "gz"]], ids=["format", "compression"])
def test_a_full_disk_ends_with_what_to_do_and_leaves_nothing(
    words: list[str], workshop: Workshop, disk: Path, tmp_path: Path
) -> None:
    small = tmp_path / "small"
    small.mkdir()
    env = {**os.environ, "PYTHONPATH": str(CHECKOUT / "src")}
    argv = workshop.argv("convert", str(disk), *words, "-o", str(small / "x"))
    script = f'"$@"; echo "status $?"; ls -A {small}'
    inside = container_argv([tmpfs(small, 1)], ["sh", "-c", script, "sh", *argv])
    done = subprocess.run(inside, env=env, cwd=CHECKOUT, capture_output=True, text=True, timeout=600)
    assert "error[output-full]" in done.stderr, done.stderr
    assert done.stdout.endswith("status 1\n"), done.stdout


def test_a_bomb_of_zeros_takes_no_room(workshop: Workshop, disk: Path, tmp_path: Path) -> None:
    """Zeros become holes, so what fills a disk is refused by the disk and what does not costs nothing."""
    bomb = tmp_path / "bomb.gz"
    packer = zlib.compressobj(9, wbits=31)
    with bomb.open("wb") as file:
        file.write(packer.compress(disk.read_bytes()[: MIB // 2]))
        for _ in range(2048):
            file.write(packer.compress(bytes(MIB)))
        file.write(packer.flush())
    done = convert(workshop, bomb, "--to", "raw", "-o", str(tmp_path / "x"))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "x").stat().st_size > 2 << 30
    assert (tmp_path / "x").stat().st_blocks * 512 < 2 * MIB

"""Initrd images: built of every distribution's default template, and started by their kernel alone.

Those of eLxr, Azure Linux and Edge Microvisor Toolkit are made from look-alikes of the vendors' repositories.
"""

from __future__ import annotations

import json
import re
import stat
import subprocess
import time
from pathlib import Path

import pytest

from os_image_composer.build.canonical import sha256_file
from support.cpio import members
from support.look_alike import LookAlike
from support.workshop import Workshop

pytestmark = pytest.mark.build

SECONDS = 600
TARGETS = {
    "debian13": "debian",
    "debian12": "debian",
    "elxr12": "wind-river-elxr",
    "azl3": "azure-linux",
    "emt3": "edge-microvisor-toolkit",
}


def template(dist: str) -> str:
    return (
        f'image: {{name: {dist}-ram, version: "1.0"}}\n'
        f"target: {{os: {TARGETS[dist]}, dist: {dist}, arch: x86_64, imageType: img}}\n"
        f"systemConfig:\n  name: ram\n  hostname: {dist}\n"
    )


def build(workshop: Workshop, folder: Path, dist: str, request: pytest.FixtureRequest) -> Path:
    settings: list[str] = []
    if dist == "elxr12":
        elxr: LookAlike = request.getfixturevalue("elxr")
        settings = ["--config", str(elxr.settings)]
    elif dist in ("azl3", "emt3"):
        settings = ["--config", str(request.getfixturevalue("rpm_settings"))]
    (folder / "template.yml").write_text(template(dist))
    done = workshop.run(*settings, "build", "--output", str(folder / "out"), str(folder / "template.yml"))
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "out" / f"{dist}-ram-1.0.img"


def test_image_is_a_root_with_owners_modes_and_no_device(
    workshop: Workshop, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    image = build(workshop, tmp_path, "debian13", request)
    (found,) = members(image)
    by_name = {m.name: m for m in found}
    assert stat.S_ISLNK(by_name["init"].mode)
    assert by_name["init"].content == b"usr/lib/systemd/systemd"
    assert by_name["usr/bin/su"].mode == stat.S_IFREG | 0o4755
    shadow = re.search(r"^shadow:[^:]*:(\d+):", by_name["etc/group"].content.decode(), re.MULTILINE)
    assert shadow is not None
    assert (by_name["etc/shadow"].uid, by_name["etc/shadow"].gid) == (0, int(shadow[1]))
    assert not [m.name for m in found if stat.S_ISCHR(m.mode) or stat.S_ISBLK(m.mode)]
    assert by_name["etc/fstab"].content == b""
    files = {path.suffix: path for path in image.parent.iterdir()}
    assert {".img", ".vmlinuz", ".sh", ".ipxe", ".json"} <= set(files)
    manifest = json.loads((image.parent / "debian13-ram-1.0.manifest.json").read_text())
    named = {entry["file"]: entry["sha256"] for entry in manifest["artifacts"]}
    assert named == {path.name: sha256_file(path) for path in image.parent.iterdir() if path.name in named}
    assert {Path(name).suffix for name in named} == {".img", ".vmlinuz", ".sh", ".ipxe"}
    script = files[".ipxe"].read_text().splitlines()
    assert script[0] == "#!ipxe"
    assert "kernel debian13-ram-1.0.vmlinuz initrd=debian13-ram-1.0.img console=tty0 console=ttyS0,115200" in script
    assert files[".sh"].stat().st_mode & 0o111


@pytest.mark.boot
@pytest.mark.matrix
@pytest.mark.timeout(SECONDS + 900)
@pytest.mark.parametrize("dist", list(TARGETS))
def test_initrd_comes_up_without_a_failed_unit(
    workshop: Workshop, tmp_path: Path, request: pytest.FixtureRequest, dist: str
) -> None:
    image = build(workshop, tmp_path, dist, request)
    done = workshop.run("boot", "--check", "--json", "--timeout", str(SECONDS), str(image))
    assert done.stdout, done.stderr
    verdict = json.loads(done.stdout)
    level = "self-report" if dist == "debian13" else "console"
    assert (verdict["level"], verdict["passed"], verdict["failedUnits"]) == (level, True, []), done.stdout


@pytest.mark.boot
@pytest.mark.matrix
@pytest.mark.timeout(2 * SECONDS + 900)
def test_ipxe_starts_the_image_over_the_network(
    workshop: Workshop, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """By the network card's own iPXE, which gets the script's name by DHCP and everything else by TFTP, from QEMU."""
    image = build(workshop, tmp_path, "debian13", request)
    network = f"user,id=net0,restrict=on,tftp={image.parent},bootfile={image.stem}.ipxe"
    argv = (
        *("qemu-system-x86_64", "-machine", "q35,graphics=off", "-cpu", "max", "-m", "2048", "-nodefaults"),
        *("-display", "none", "-serial", "stdio", "-netdev", network),
        *("-device", "virtio-net-pci,netdev=net0,bootindex=0"),
    )
    with (tmp_path / "console").open("wb") as console:
        machine = subprocess.Popen(argv, stdout=console, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 2 * SECONDS
        while b"debian13 login: " not in (said := (tmp_path / "console").read_bytes()):
            assert machine.poll() is None, said
            assert time.monotonic() < end, said
            time.sleep(2)
    finally:
        machine.kill()
        machine.wait()
    assert b"iPXE" in said


@pytest.mark.matrix
def test_same_lock_same_bits(workshop: Workshop, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """The second build starts from an empty store."""
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    image = build(workshop, tmp_path / "one", "debian13", request)
    other = Workshop(tmp_path / "other")
    other.cache.mkdir(parents=True, mode=0o700)
    for name in ("packages", "locks"):
        (other.cache / name).symlink_to(workshop.cache / name)
    try:
        again = build(other, tmp_path / "two", "debian13", request)
        for file in image.parent.glob("*-1.0.*"):
            if not file.name.endswith(("manifest.json", "sha256sums")):
                assert sha256_file(file) == sha256_file(again.parent / file.name), file.name
    finally:
        other.bare_sandbox().remove([other.cache / "store", other.cache / "tmp"])

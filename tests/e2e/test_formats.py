"""One build, every format: each is opened by the program that knows it best, and is the same file when the disk is
converted alone, elsewhere and on one processor."""

from __future__ import annotations

import hashlib
import json
import os
import re
import struct
import subprocess
import tarfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from os_image_composer.boot.trial import boot_image
from os_image_composer.build.canonical import sha256_file
from os_image_composer.build.clock import SystemClock
from os_image_composer.build.step import Kind, Result, Work
from os_image_composer.chroot.job import Bind, Job, MountedTree, Tree, WriteFile
from os_image_composer.config.load import load_image_spec
from os_image_composer.formats.ext4 import Ext4
from os_image_composer.formats.filesystem import NodeKind, walk
from os_image_composer.formats.window import FileSource, Window
from os_image_composer.image.layout import lay_out
from os_image_composer.image.pack_tar import PackTar
from support.packed import QEMU, VIRTUAL, packed_template
from support.tools import host_tool
from support.workshop import CHECKOUT, Workshop

pytestmark = [pytest.mark.build, pytest.mark.timeout(900)]

NAME = "debian13-minimal-1.0"


@pytest.fixture(scope="module")
def template(built: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample in every format, built."""
    path = packed_template(tmp_path_factory.mktemp("formats") / "formats.yml")
    done = built.run("build", str(path))
    assert done.returncode == 0, done.stdout + done.stderr
    return path


@pytest.fixture(scope="module")
def folder(built: Workshop, template: Path) -> Path:
    return built.image().parent


@pytest.fixture(scope="module")
def tools(built: Workshop, template: Path) -> Tree:
    content = built.results(template)["format-tools"].content
    assert content is not None
    return Tree((content,))


def qemu_img(built: Workshop, tools: Tree, *argv: str, files: dict[str, Path]) -> str:
    binds = tuple(Bind(path, f"/run/files/{name}") for name, path in files.items())
    done = built.sandbox().run(Job(tools, ("qemu-img", *argv), binds))
    assert done.status == 0, done.output.decode()
    return done.output.decode()


def test_manifest_and_checksums_name_every_file_as_it_is(folder: Path) -> None:
    manifest = json.loads((folder / f"{NAME}.manifest.json").read_text())
    digests = {}
    for file in manifest["artifacts"]:
        path = folder / file["file"]
        assert path.stat().st_size == file["size"]
        with path.open("rb") as stream:
            assert hashlib.file_digest(stream, "sha256").hexdigest() == file["sha256"]
        digests[file["file"]] = file["sha256"]
    assert {f["type"] for f in manifest["artifacts"]} == {"raw", "tar", *VIRTUAL}
    digests |= {file["file"]: file["sha256"] for file in (*manifest["blockMaps"], *manifest["sboms"])}
    assert {"qemu-utils", "zstd"} <= {tool["name"] for tool in manifest["tools"]}
    done = subprocess.run(
        ["sha256sum", "--check", "--strict", f"{NAME}.sha256sums"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert {line.rpartition(":")[0] for line in done.stdout.splitlines()} == set(digests)


def test_another_format_of_a_built_image_costs_its_own_step(built: Workshop, template: Path, tmp_path: Path) -> None:
    """One that was packed before is there, with whatever else is asked for."""
    other = tmp_path / "formats.yml"
    text = template.read_text()
    assert "subformat: monolithic" in text
    other.write_text(text.replace("subformat: monolithic", "subformat: streamOptimized"))
    done = built.run("--work-dir", str(tmp_path / "work"), "build", "--json-events", str(other))
    events = [json.loads(line) for line in done.stdout.splitlines()]
    ran = {e["step"] for e in events if e["event"] == "step-finished" and e["outcome"] == "ran"}
    assert done.returncode == 0, done.stderr
    assert ran == {"pack:vmdk"}
    (result,) = (e for e in events if e["event"] == "result")
    for file in result["artifacts"]:
        assert sha256_file(Path(file["file"])) == file["sha256"]


@pytest.mark.parametrize("form", VIRTUAL)
def test_the_format_holds_the_raw_disk_and_nothing_is_wrong_with_it(
    built: Workshop, tools: Tree, folder: Path, form: str
) -> None:
    files = {"disk": folder / f"{NAME}.{form}", "raw": folder / f"{NAME}.raw"}
    said = qemu_img(
        built, tools, "compare", "-f", QEMU[form], "-F", "raw", "/run/files/disk", "/run/files/raw", files=files
    )
    assert "Images are identical." in said
    info = json.loads(qemu_img(built, tools, "info", "-f", QEMU[form], "--output=json", "/run/files/disk", files=files))
    assert info["virtual-size"] == files["raw"].stat().st_size
    if form != "vhd":  # which qemu-img cannot check
        assert "No errors" in qemu_img(built, tools, "check", "-f", QEMU[form], "/run/files/disk", files=files)


def test_the_vhd_is_as_azure_demands(folder: Path) -> None:
    """A fixed one whose disk has a whole number of MiB, by its footer as by its length (learn.microsoft.com, "Prepare a
    Windows VHD or VHDX to upload to Azure"; VHD specification 1.0)."""
    path, disk = folder / f"{NAME}.vhd", (folder / f"{NAME}.raw").stat().st_size
    with path.open("rb") as file:
        file.seek(-512, 2)
        footer = file.read()
    cookie, features, version, offset = struct.unpack_from(">8sIIQ", footer)
    original, current, cylinders, heads, sectors, kind, checksum = struct.unpack_from(">QQHBBII", footer, 40)
    assert (cookie, features, version, offset) == (b"conectix", 2, 0x10000, 0xFFFFFFFFFFFFFFFF)
    assert (original, current, kind) == (disk, disk, 2)
    assert disk % (1 << 20) == 0 and path.stat().st_size == disk + 512
    # The geometry says nothing (it could not tell every size): readers go by the size.
    assert (cylinders, heads, sectors, footer[28:32]) == (65535, 16, 255, b"qem2")
    assert ~(sum(footer) - sum(footer[64:68])) & 0xFFFFFFFF == checksum


@pytest.mark.parametrize("form", [*VIRTUAL, "raw.zst", "raw.bmap"])
def test_the_disk_alone_converted_elsewhere_on_one_processor_is_the_same_file(
    built: Workshop, folder: Path, tmp_path: Path, form: str
) -> None:
    place = tmp_path / "ünd ŵide, with a comma" / "and deeper"
    place.mkdir(parents=True)
    (place / "alone.raw").symlink_to(folder / f"{NAME}.raw")
    target = place / f"{NAME}.{form}"
    words = {"raw.zst": ("--to", "raw", "--compress", "zstd"), "raw.bmap": ("--to", "bmap")}.get(form, ("--to", form))
    argv = built.argv("convert", str(place / "alone.raw"), *words, "-o", str(target), "--quiet")
    env = {**os.environ, "PYTHONPATH": str(CHECKOUT / "src"), "TZ": "Pacific/Kiritimati", "LC_ALL": "C"}
    done = subprocess.run(
        ["taskset", "-c", "0", *argv], env=env, cwd=tmp_path, capture_output=True, text=True, timeout=600
    )
    assert (done.returncode, done.stdout) == (0, f"{target}\n"), done.stderr
    assert sha256_file(target) == sha256_file(folder / f"{NAME}.{form}")
    assert sorted(path.name for path in place.iterdir()) == sorted(["alone.raw", target.name])


@pytest.mark.parametrize("form", [*VIRTUAL, "raw.zst"])
def test_the_raw_disk_comes_back(built: Workshop, folder: Path, tmp_path: Path, form: str) -> None:
    target = tmp_path / "back.raw"
    done = built.run("convert", str(folder / f"{NAME}.{form}"), "--to", "raw", "-o", str(target))
    assert done.returncode == 0, done.stderr
    assert sha256_file(target) == sha256_file(folder / f"{NAME}.raw")
    assert target.stat().st_blocks * 512 < 0.5 * target.stat().st_size


def test_a_flashing_program_takes_the_compressed_disk_and_its_map(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "medium"
    done = host_tool("bmaptool", "copy", str(folder / f"{NAME}.raw.zst"), str(target))
    assert done.returncode == 0, done.stderr
    assert re.search(rb"using bmap file '\S+\.raw\.bmap'", done.stderr + done.stdout)
    assert sha256_file(target) == sha256_file(folder / f"{NAME}.raw")


def test_the_tar_has_the_files_owners_modes_and_times_of_the_root_filesystem(
    built: Workshop, template: Path, folder: Path
) -> None:
    _, preparation = built.provider(template)
    root = lay_out(load_image_spec(template, built.settings().config_dir), preparation.lock.seed).root
    with FileSource(folder / f"{NAME}.raw", 1 << 40) as source:
        filesystem = Ext4(Window(source, root.start, root.size))
        there = {path: node for path, node in walk(filesystem) if path.split("/")[0] != "lost+found"}
        with tarfile.open(folder / f"{NAME}.tar") as tar:
            members = {member.name.removeprefix("./"): member for member in tar}
            top = members.pop(".")
            assert (top.uid, top.gid, top.mode) == (0, 0, 0o755)
            assert sorted(members) == sorted(there)
            for path, node in there.items():
                member = members[path]
                assert (member.uid, member.gid, member.mode, int(member.mtime)) == (
                    *(node.uid, node.gid, node.mode, node.mtime),
                ), path
                if node.kind is NodeKind.SYMLINK:
                    assert member.linkname == filesystem.link_target(node)
                elif node.kind is NodeKind.FILE and node.size < 1 << 20:
                    stream = tar.extractfile(member)
                    assert stream is not None
                    assert stream.read() == filesystem.content(node).read(0, node.size), path
    journal = members["var/log/journal"].pax_headers
    assert "group:4:r-x" in journal["SCHILY.acl.default"]


# vfs_cap_data revision 2 (linux/capability.h): CAP_NET_RAW permitted and effective.
CAPABILITY = struct.pack("<IIIII", 0x02000001, 1 << 13, 0, 0, 0)
SET = """
import os, sys
os.setxattr('/target/bin/ping', 'security.capability', bytes.fromhex(sys.argv[1]))
os.setxattr('/target/bin/ping', 'user.note', b'kept')
os.chown('/target/bin/ping', 0, 4)
os.setxattr('/target/bin/ping', 'security.capability', bytes.fromhex(sys.argv[1]))
os.link('/target/bin/ping', '/target/bin/ping6')
os.utime('/target/bin/ping', (1, 1650000000))
os.utime('/target/new', (1, 1999999999))
"""


def test_the_tar_has_capabilities_attributes_links_and_no_time_of_the_build(
    built: Workshop, tools: Tree, tmp_path: Path
) -> None:
    sandbox, layer = built.sandbox(), tmp_path / "layer"
    sandbox.new_layer(layer)
    names = ["bin/ping", "new", 'odd "name" é\n', "d/" + "n" * 200]
    sandbox.edit(Tree(upper=layer), [WriteFile(f"/{name}", name.encode()) for name in names])
    python = Tree(built.layers("image-tools"))
    argv = ("python3", "-c", SET, CAPABILITY.hex())
    done = sandbox.run(Job(python, argv, (MountedTree(Tree(upper=layer), "/target"),)))
    assert done.status == 0, done.output
    digests = []
    for number in range(2):
        (tmp_path / "scratch").mkdir(exist_ok=True)
        output = tmp_path / f"{number}.tar"
        inputs = (("lower", Result("", Kind.TREE, "", layer)), ("tools", Result("", Kind.TREE, "", tools.lower[0])))
        services: Any = SimpleNamespace(sandbox=sandbox)
        PackTar(1_700_000_000).run(Work(services, inputs, output, tmp_path / "scratch", print))
        digests.append(sha256_file(output))
        sandbox.read(Tree((layer,)), [f"/{name}" for name in names])  # dates the last access
        time.sleep(1.1)
    sandbox.remove([layer])
    assert digests[0] == digests[1]
    with tarfile.open(output) as tar:
        members = {member.name.removeprefix("./"): member for member in tar}
    assert set(members) == {".", "bin", "d", *names, "bin/ping6"}
    ping = members["bin/ping"]
    attributes = ping.pax_headers["SCHILY.xattr.security.capability"].encode("utf-8", "surrogateescape")
    # Revision 2, 20 bytes: on the build host's disk it is revision 3, with the builder's uid in it.
    assert attributes == CAPABILITY
    assert ping.pax_headers["SCHILY.xattr.user.note"] == "kept"
    assert (ping.uid, ping.gid, ping.mtime) == (0, 4, 1650000000)
    assert members["bin/ping6"].islnk() and members["bin/ping6"].linkname == "./bin/ping"
    assert members["new"].mtime == members["."].mtime == 1_700_000_000
    assert not any("atime" in key or "ctime" in key for m in members.values() for key in m.pax_headers)


@pytest.mark.boot
@pytest.mark.parametrize("form", [pytest.param(f, marks=() if f == "vhdx" else pytest.mark.matrix) for f in VIRTUAL])
def test_the_format_attached_as_such_boots(folder: Path, form: str) -> None:
    verdict = boot_image(folder / f"{NAME}.{form}", SystemClock(), limit=500)
    assert verdict.passed, verdict.reason


@pytest.mark.boot
@pytest.mark.matrix
@pytest.mark.parametrize(("form", "subformat"), [("vhd", "dynamic"), ("vmdk", "streamOptimized")])
def test_the_other_form_of_a_format_attached_as_such_boots(
    built: Workshop, tools: Tree, folder: Path, tmp_path: Path, form: str, subformat: str
) -> None:
    disk = tmp_path / f"disk.{form}"
    words = ("--to", form, "--subformat", subformat, "-o", str(disk))
    done = built.run("convert", str(folder / f"{NAME}.raw"), *words)
    assert done.returncode == 0, done.stderr
    files = {"disk": disk, "raw": folder / f"{NAME}.raw"}
    argv = ("compare", "-f", QEMU[form], "-F", "raw", "/run/files/disk", "/run/files/raw")
    assert "Images are identical." in qemu_img(built, tools, *argv, files=files)
    verdict = boot_image(disk, SystemClock(), limit=500)
    assert verdict.passed, verdict.reason

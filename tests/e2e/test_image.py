"""The image that the sample template gives, looked at with tools that are not ours."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest

from os_image_composer.chroot.ids import IdMap
from os_image_composer.chroot.job import Job, Tree
from os_image_composer.errors import SandboxError
from os_image_composer.image.layout import DiskLayout, lay_out
from support.tools import host_tool
from support.workshop import TEMPLATE, Workshop

pytestmark = pytest.mark.build


def cut(image: Path, start: int, size: int, target: Path) -> Path:
    """A partition as a file of its own."""
    with image.open("rb") as reader, target.open("wb") as writer:
        reader.seek(start)
        for _ in range(size // (1 << 20)):
            block = reader.read(1 << 20)
            if block.strip(b"\0"):
                writer.write(block)
            else:
                writer.seek(1 << 20, 1)
        writer.truncate(size)
    return target


@pytest.fixture(scope="session")
def layout(built: Workshop) -> DiskLayout:
    _, preparation = built.provider()
    return lay_out(preparation.spec, preparation.lock.seed)


@pytest.fixture(scope="session")
def root(built: Workshop, layout: DiskLayout, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("partitions") / "root.ext4"
    return cut(built.image(), layout.root.start, layout.root.size, target)


@pytest.fixture(scope="session")
def esp(built: Workshop, layout: DiskLayout, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("partitions") / "esp.fat"
    return cut(built.image(), layout.esp.start, layout.esp.size, target)


def cat(root: Path, path: str) -> bytes:
    return host_tool("debugfs", "-R", f"cat {path}", str(root)).stdout


def exists(root: Path, path: str) -> bool:
    return b"File not found" not in host_tool("debugfs", "-R", f"stat {path}", str(root)).stderr


def test_partition_table_is_valid(built: Workshop) -> None:
    done = host_tool("sfdisk", "--verify", str(built.image()))
    assert done.returncode == 0, done.stdout + done.stderr
    assert b"No errors detected" in done.stdout


def test_root_filesystem_is_clean(root: Path) -> None:
    done = host_tool("e2fsck", "-fn", str(root))
    assert done.returncode == 0, done.stdout + done.stderr


def test_efi_system_partition_is_clean_and_fat32(esp: Path) -> None:
    done = host_tool("fsck.fat", "-n", "-v", str(esp))
    assert done.returncode == 0, done.stdout + done.stderr
    assert b"32 bits" in done.stdout or b"FAT32" in esp.read_bytes()[:512]


def test_firmware_finds_boot_loader_and_kernel(esp: Path) -> None:
    listing = host_tool("mdir", "-i", str(esp), "-b", "-/", "::").stdout.decode()
    assert "EFI/BOOT/BOOTX64.EFI" in listing
    assert "EFI/Linux/debian13-minimal.efi" in listing


@pytest.mark.parametrize("option", ["--audit", "--verify"])
def test_package_database_is_clean(built: Workshop, option: str) -> None:
    tree = Tree(built.layers("essential", "packages:default", "packages:template", "os-configuration"))
    done = built.sandbox().run(Job(tree, ("dpkg", option)))
    assert (done.status, done.output) == (0, b"")


def test_manifest_tells_the_image_and_its_packages(built: Workshop) -> None:
    image = built.image()
    manifest = json.loads(image.with_name("debian13-minimal-1.0.manifest.json").read_text())
    with image.open("rb") as stream:
        assert manifest["artifacts"][0]["sha256"] == hashlib.file_digest(stream, "sha256").hexdigest()
    assert manifest["artifacts"][0]["size"] == image.stat().st_size
    tree = Tree(built.layers("essential", "packages:default", "packages:template"))
    query = ("dpkg-query", "-W", "-f", "${Package} ${Version}\n")
    installed = built.sandbox().run(Job(tree, query)).output.decode().splitlines()
    assert [f"{p['name']} {p['version']}" for p in manifest["packages"]] == installed


def test_machine_id_is_empty_and_no_host_keys_seeds_or_resolver_are_carried(root: Path) -> None:
    assert cat(root, "/etc/machine-id") == b""
    assert exists(root, "/etc/machine-id")
    for path in ("/var/lib/systemd/random-seed", "/var/log/dpkg.log", "/usr/sbin/policy-rc.d", "/etc/passwd-"):
        assert not exists(root, path), path
    keys = host_tool("debugfs", "-R", "ls -p /etc/ssh", str(root)).stdout
    assert b"ssh_host_" not in keys
    assert b"sshd_config" in keys
    host = Path("/etc/resolv.conf").read_bytes()
    assert cat(root, "/etc/resolv.conf") != host


def test_fstab_names_the_filesystems_that_are_there(root: Path, esp: Path) -> None:
    text = cat(root, "/etc/fstab").decode()
    uuids = re.findall(r"^UUID=(\S+)", text, re.MULTILINE)
    seen = host_tool("blkid", "-p", "-s", "UUID", "-o", "value", str(esp)).stdout.decode().strip()
    assert uuids == [seen]
    assert text.startswith("/dev/mapper/root\t/\text4\tro\t")


def test_user_of_the_template_is_there_with_a_hash_and_everybody_else_is_locked(root: Path) -> None:
    shadow = {line.split(":")[0]: line.split(":")[1] for line in cat(root, "/etc/shadow").decode().splitlines()}
    assert shadow["admin"].startswith("$6$")
    assert all(password in ("*", "!", "!*", "!!") for name, password in shadow.items() if name != "admin")
    assert "admin" in next(r for r in cat(root, "/etc/group").decode().splitlines() if r.startswith("sudo:"))
    assert b"change-me-first" not in cat(root, "/etc/shadow")


def test_no_overlay_attribute_and_no_owner_of_the_build_reached_the_image(root: Path) -> None:
    done = host_tool("debugfs", "-R", "stat /", str(root)).stdout.decode()
    assert re.search(r"User:\s+0\s+Group:\s+0", done)
    assert "user.overlay" not in root.read_bytes().decode("latin-1")


def test_nothing_secret_is_in_plan_manifest_or_lock(built: Workshop) -> None:
    plan = built.run("plan", "--json", str(TEMPLATE))
    manifest = built.image().with_name("debian13-minimal-1.0.manifest.json").read_text()
    locks = [p.read_text() for p in (built.cache / "locks").glob("*.lock")]
    for text in (plan.stdout, manifest, *locks):
        assert text
        assert "change-me-first" not in text
        assert "$6$" not in text
    secrets = list((built.cache / "locks").glob("*.secrets"))
    assert {p.stat().st_mode & 0o777 for p in secrets} == {0o600}


def test_plan_needs_no_subordinate_ids(built: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> IdMap:
        raise SandboxError("no-subuid-range", "this caller has no subordinate ids")

    provider, preparation = built.provider()
    monkeypatch.setattr(IdMap, "for_caller", refuse)
    assert {f.verdict for f in provider.forecast(preparation)} == {"reused"}

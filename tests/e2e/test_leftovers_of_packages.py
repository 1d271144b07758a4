"""What maintainer scripts and tools leave behind is the same in two builds that differ in everything at once, clock
included, or is not in the image at all. A test each, so that a difference names its cause."""

from __future__ import annotations

import _imp
import os
import pwd
import shutil
import struct
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from os_image_composer.config.load import load_image_spec
from os_image_composer.formats.ext4 import Ext4
from os_image_composer.formats.filesystem import Node, NodeKind, walk
from os_image_composer.formats.window import FileSource, Window
from os_image_composer.image.layout import lay_out
from os_image_composer.ospackage.lock_file import read_lock
from os_image_composer.report.compare import compare
from support.surroundings import Surroundings, another_locale, ordinary_user
from support.workshop import CHECKOUT, Workshop, remove_workshop

pytestmark = [pytest.mark.root, pytest.mark.build, pytest.mark.matrix, pytest.mark.timeout(3600)]

TEMPLATE = """
image: {name: leftovers, version: "1.0"}
target: {os: debian, dist: debian13, arch: x86_64, imageType: raw}
systemConfig:
  name: leftovers
  hostname: leftovers
  packages: [man-db, fontconfig, fonts-dejavu-core, python3-yaml, openssh-server, sudo, ssl-cert, dbus, locales, apt,
    ucf, ca-certificates, vim-tiny, bash-completion, logrotate, selinux-policy-default, policycoreutils]
  selinux: enforcing
  users:
    - {name: admin, sudo: true}
  configurations:
    - cmd: useradd --system --shell /usr/sbin/nologin made-by-a-command
    - cmd: update-alternatives --install /usr/bin/pager pager /usr/bin/cat 1
    - cmd: fc-cache --system-only
"""


@dataclass(frozen=True)
class Pair:
    """The root of the first image by path, and where the images differ."""

    root: Ext4
    nodes: dict[str, Node]
    epoch: int
    differences: tuple[str, ...]

    def there(self, *patterns: str) -> list[str]:
        return [path for path in self.nodes if any(fnmatchcase(path, pattern) for pattern in patterns)]

    def differing(self, *patterns: str) -> list[str]:
        return [path for path in self.differences if any(fnmatchcase(path, f"*/{pattern}") for pattern in patterns)]

    def read(self, path: str) -> bytes:
        node = self.root.find(f"/{path}")
        assert node is not None, path
        return self.root.content(node).read(0, node.size)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with ExitStack() as stack:
        one = Workshop(Path("/var/tmp") / f"oic-{os.getpid()}")
        one.root.mkdir()
        stack.callback(shutil.rmtree, one.root, ignore_errors=True)
        other = Workshop(tmp_path_factory.mktemp("leftovers") / "a longer folder")
        other.root.mkdir()
        stack.callback(remove_workshop, other)
        plain = {"LANG": "C.UTF-8", "TZ": "UTC"}
        strange = {"LANG": another_locale(), "TZ": "Pacific/Kiritimati"}
        first = Surroundings(one, ordinary_user(), 0o077, plain, workers=1, cpus="0")
        second = Surroundings(other, pwd.getpwuid(0), 0o022, strange, workers=4, host_name="forge", years_back=3)
        for side in (first, second):
            side.prepare()
            (side.source / "template.yml").write_text(TEMPLATE)
            side.own()
        first.carry(first.source / "template.yml")
        first.build(first.source / "template.yml", "--locked")
        second.share(first)
        second.build(second.source / "template.yml", "--bundle", str(second.bundle))
        (a,), (b,) = one.work.rglob("*.raw"), other.work.rglob("*.raw")
        found = compare(a, b)
        lock = read_lock(first.source / "template.yml.lock").lock
        partition = lay_out(load_image_spec(first.source / "template.yml", CHECKOUT / "config"), lock.seed).root
        source = stack.enter_context(FileSource(a, allowance=1 << 40))
        root = Ext4(Window.over(source).part(partition.start, partition.size))
        epoch = lock.source_date_epoch
        yield Pair(root, dict(walk(root)), epoch, tuple(d.where for d in found.differences))


@pytest.mark.parametrize(
    ("what", "patterns"),
    [
        ("alternatives", ["etc/alternatives/*", "var/lib/dpkg/alternatives/*"]),
        ("file triggers", ["var/lib/dpkg/triggers/*"]),
        ("the package database", ["var/lib/dpkg/status", "var/lib/dpkg/info/*", "var/lib/dpkg/diversions"]),
        ("byte-compiled modules", ["*/__pycache__/*.pyc"]),
        ("the journal's catalog", ["var/lib/systemd/catalog/database"]),
        ("the fonts' cache", ["var/cache/fontconfig/*"]),
        ("the linker's cache", ["etc/ld.so.cache"]),
        ("accounts", ["etc/passwd", "etc/group", "etc/shadow", "etc/gshadow", "etc/subuid"]),
        ("certificates", ["etc/ssl/certs/*"]),
        ("answers", ["var/cache/debconf/*.dat"]),
        ("what ucf keeps", ["var/lib/ucf/*"]),
        ("the hardware database", ["usr/lib/udev/hwdb.bin"]),
        ("the SELinux policy", ["etc/selinux/default/policy/policy.*", "etc/selinux/default/contexts/files/*.bin"]),
        ("what the SELinux policy was built from", ["var/lib/selinux/default/active/*"]),
    ],
)
def test_is_there_and_the_same(pair: Pair, what: str, patterns: list[str]) -> None:
    assert pair.there(*patterns), what
    assert pair.differing(*patterns) == []


@pytest.mark.parametrize(
    ("what", "beside", "patterns"),
    [
        ("the linker's own cache", "etc/ld.so.cache", ["var/cache/ldconfig/*"]),
        ("logs", "var/log/wtmp", ["var/log/*.log", "var/log/apt/*", "var/log/journal/*"]),
        (
            "backups",
            "var/lib/dpkg/status",
            ["var/lib/dpkg/*-old", "var/cache/debconf/*-old", "etc/*shadow-", "etc/passwd-"],
        ),
        ("the manuals' index", "usr/bin/mandb", ["var/cache/man/*"]),
        ("random seeds", "usr/lib/systemd/systemd-random-seed", ["var/lib/systemd/random-seed", "root/.rnd"]),
        (
            "ids of one machine",
            "etc/machine-id",
            ["var/lib/dbus/machine-id", "etc/ssh/ssh_host_*", "*ssl-cert-snakeoil*"],
        ),
        ("lists of repositories", "usr/bin/apt-get", ["var/lib/apt/lists/*_*", "var/cache/apt/*.bin"]),
    ],
)
def test_is_not_there(pair: Pair, what: str, beside: str, patterns: list[str]) -> None:
    """`beside`: what would leave it, or lies beside it, is there."""
    assert pair.there(beside), what
    assert pair.there(*patterns) == []


def test_machine_id_is_empty(pair: Pair) -> None:
    assert pair.read("etc/machine-id") == b""


def test_passwords_were_changed_on_the_day_of_the_epoch(pair: Pair) -> None:
    rows = [line.split(":") for line in pair.read("etc/shadow").decode().splitlines()]
    assert {row[0] for row in rows} > {"root", "admin", "sshd", "made-by-a-command"}
    assert {row[2] for row in rows} <= {str(pair.epoch // 86400), ""}


def test_byte_code_fits_its_source_as_it_is_in_the_image(pair: Pair) -> None:
    """By the source's date, or by its content, as Python does where SOURCE_DATE_EPOCH is set (PEP 552). Else Python
    would compile it anew on every start."""
    checked = 0
    for path in pair.there("*/__pycache__/*.cpython-*.pyc"):
        code = pair.read(path)
        folder, _, name = path.rpartition("/__pycache__/")
        source = f"{folder}/{name.partition('.')[0]}.py"
        if source in pair.nodes:
            magic, flags, seconds = struct.unpack_from("<III", code)
            by_content = code[8:16] == _imp.source_hash(magic, pair.read(source))
            assert by_content if flags else seconds == pair.nodes[source].mtime, path
            checked += 1
    assert checked > 100


def test_nothing_is_later_than_the_epoch(pair: Pair) -> None:
    assert max(node.mtime for node in pair.nodes.values() if node.kind is not NodeKind.OTHER) == pair.epoch


def test_images_do_not_differ_at_all(pair: Pair) -> None:
    assert pair.differences == ()

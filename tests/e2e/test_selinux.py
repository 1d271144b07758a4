"""SELinux: labels that are computed during the build are those that the target's own tools set, nothing of the build
has a label, and the booted system keeps to its policy from its first start."""

from __future__ import annotations

import ast
import dataclasses
import re
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from os_image_composer.build.step import Kind, Result
from os_image_composer.chroot.job import Bind, Job, MakeSymlink, MountedTree, Tree, WriteFile
from os_image_composer.chroot.tree import Xattr
from os_image_composer.formats.filesystem import PosixFileSystem, walk
from os_image_composer.formats.partition_table import read_partition_table
from os_image_composer.formats.volumes import open_filesystem
from os_image_composer.formats.window import FileSource, Window
from os_image_composer.image.disk_job import DISK
from os_image_composer.image.selinux import Labels
from os_image_composer.image.squashfs import sqfstar
from os_image_composer.report.inspect import inspect_image
from os_image_composer.report.selinux import SelinuxState
from support.commands import told
from support.own_report import hear
from support.selinux import AZL3, DEBIAN12, DEBIAN13, Selinux, denials, lasting, write_control, write_template
from support.tools import host_tool
from support.workshop import Workshop

pytestmark = pytest.mark.build

# Under TCG, on two busy cores; a quiet machine takes a quarter.
SECONDS = 1500


@dataclasses.dataclass(frozen=True)
class Built:
    """An image, and what the store has of each step."""

    workshop: Workshop
    target: Selinux
    template: Path
    settings: Path | None
    image: Path
    results: Mapping[str, Result]

    def layers(self, *steps: str) -> tuple[Path, ...]:
        return tuple(content for step in steps if (content := self.results[step].content) is not None)

    @property
    def root(self) -> Tree:
        names = [name for name in self.results if name == "essential" or name.startswith("packages:")]
        return Tree(self.layers(*names, "os-configuration", "sbom"))


def build(workshop: Workshop, target: Selinux, template: Path, settings: Path | None = None) -> Built:
    config = ("--config", str(settings)) if settings else ()
    done = workshop.run(*config, "build", str(template))
    assert done.returncode == 0, done.stdout + done.stderr
    folder = workshop.work / f"{target.os}-{target.dist}-x86_64" / "imagebuild" / template.stem
    results = workshop.results(template, settings)
    return Built(workshop, target, template, settings, folder / "selinux-1.0.raw", results)


@pytest.fixture(scope="module")
def debian12(workshop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Built:
    return build(workshop, DEBIAN12, write_template(tmp_path_factory.mktemp("debian12"), DEBIAN12))


@pytest.fixture(scope="module")
def debian13(workshop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Built:
    return build(workshop, DEBIAN13, write_template(tmp_path_factory.mktemp("debian13"), DEBIAN13))


@pytest.fixture(scope="module")
def azl3(workshop: Workshop, rpm_settings: Path, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Of the look-alike."""
    return build(workshop, AZL3, write_template(tmp_path_factory.mktemp("azl3"), AZL3), rpm_settings)


TARGETS = [pytest.param("debian12"), *(pytest.param(name, marks=pytest.mark.matrix) for name in ("debian13", "azl3"))]


@pytest.fixture(scope="module")
def built(request: pytest.FixtureRequest) -> Built:
    made: Built = request.getfixturevalue(request.param)
    return made


@pytest.mark.parametrize("built", TARGETS, indirect=True)
def test_labels_are_those_that_the_targets_own_setfiles_computes(built: Built) -> None:
    """For every path of the root."""
    sandbox, target = built.workshop.bare_sandbox(), "/mnt"
    contexts = f"/etc/selinux/{built.target.policy}/contexts/files/file_contexts"
    argv = ("setfiles", "-n", "-v", "-F", "-r", target, contexts, target)
    lines: list[str] = []
    done = sandbox.run(Job(built.root, argv, (MountedTree(built.root, target),)), lines.append)
    assert done.status == 0, lines[-5:]
    would = (re.fullmatch(rf"Would relabel {target}(.*) from .* to (.*)", line) for line in lines)
    entries = sandbox.listing(built.root)
    first = {entry.path: entry.first for entry in entries}
    # Of a file with several names it tells of the one that it meets first, in the order of the directory.
    theirs = {first[match[1].lstrip("/")]: match[2].encode() + b"\0" for match in would if match}
    (folder,) = built.layers("labels")
    labels = Labels.read(folder)
    ours = {label.path: label.value for label in labels.tree}
    assert len(theirs) > 5000
    assert {path: label for path, label in ours.items() if first[path] == path} == theirs
    assert {path: ours[first[path]] for path in ours} == ours
    assert {entry.path for entry in entries} - set(ours) <= {"proc", "sys"}
    assert {(label.path, label.value) for label in labels.lost_and_found} == {
        ("lost+found", b"system_u:object_r:lost_found_t:s0\0")
    }


@pytest.mark.parametrize("built", TARGETS, indirect=True)
def test_root_filesystem_holds_the_computed_labels_and_no_other(built: Built, tmp_path: Path) -> None:
    (folder,) = built.layers("labels")
    labels = Labels.read(folder)
    wanted = {label.path: label.value for label in (*labels.tree, *labels.lost_and_found)}
    with FileSource(built.image, allowance=1 << 40) as source:  # the partition is read as a whole, too
        disk = Window.over(source)
        table = read_partition_table(disk)
        assert table is not None
        part = max(table.partitions, key=lambda partition: partition.size)
        root = open_filesystem(disk.part(part.start, part.size))
        assert isinstance(root, PosixFileSystem)
        top = root.find("/")
        assert top is not None
        nodes = {"": top, **dict(walk(root))}
        found = {path: root.attributes(node)["security.selinux"] for path, node in nodes.items() if path in wanted}
        assert found == wanted
        others = {path for path, node in nodes.items() if "security.selinux" in root.attributes(node)} - set(wanted)
        assert not others
        assert ".autorelabel" not in nodes
        with (tmp_path / "root.ext4").open("wb") as file:
            for block in disk.part(part.start, part.size).blocks():
                file.write(block)
    told = host_tool("debugfs", "-R", "ea_get / security.selinux", str(tmp_path / "root.ext4")).stdout
    assert told.strip() == b'security.selinux (28) = "system_u:object_r:root_t:s0\\000"'
    check = host_tool("e2fsck", "-fn", str(tmp_path / "root.ext4"))
    assert check.returncode == 0, check.stdout


# Also what the image tools' Python sees in a namespace of its own, where the tree's own attributes are.
HAVE = """
import os, sys
name = sys.argv[1]
for folder, folders, files in os.walk(b"/target"):
    for path in (folder, *(os.path.join(folder, n) for n in folders + files)):
        if name in os.listxattr(path, follow_symlinks=False):
            print(path)
"""


# That of cap_net_bind_service, permitted (capability.h, vfs_cap_data of revision 2).
GIVE = """
import os
os.setxattr("/target/marked", "security.capability", bytes.fromhex("0000000200040000000000000000000000000000"))
"""


@pytest.mark.parametrize("built", TARGETS, indirect=True)
def test_no_tree_of_the_store_has_a_label(built: Built, tmp_path: Path) -> None:
    sandbox, tools, layer = built.workshop.bare_sandbox(), Tree(built.layers("image-tools")), tmp_path / "layer"
    trees = [result.content for result in built.results.values() if result.kind is Kind.TREE]
    assert len(trees) >= 4

    def having(name: str, *trees: Path | None) -> list[str]:
        found: list[str] = []
        for tree in trees:
            assert tree is not None
            job = Job(tools, ("python3", "-c", HAVE, name), (MountedTree(Tree((tree,)), "/target"),))
            assert sandbox.run(job, found.append).status == 0, found
        return found

    sandbox.new_layer(layer)
    own = Tree(upper=layer)
    sandbox.edit(own, [WriteFile("marked", b"")])
    assert sandbox.run(Job(tools, ("python3", "-c", GIVE), (MountedTree(own, "/target"),))).status == 0
    assert having("security.capability", layer) == ["b'/target/marked'"]  # it does find what is there
    assert having("security.selinux", *trees) == []
    sandbox.remove([layer])


@pytest.mark.parametrize("built", TARGETS, indirect=True)
def test_command_line_switches_it_on_and_inspect_tells_of_it(built: Built) -> None:
    info = inspect_image(built.image)
    (uki,) = (program for program in info.programs if program.kind == "uki")
    assert set(built.target.words.split()) <= set(uki.text[".cmdline"].split())
    assert info.root is not None
    assert info.root.selinux == SelinuxState("enforcing", built.target.policy, "all")


def test_other_mode_makes_configuration_labels_and_disk_anew_and_no_boot_file(debian12: Built, tmp_path: Path) -> None:
    template = debian12.template.with_name("permissive.yml")
    template.write_text(debian12.template.read_text().replace("enforcing", "permissive"))
    done = told(debian12.workshop.run("build", "--json-events", "--output", str(tmp_path / "out"), str(template)))
    assert sorted(done.ran) == ["disk", "initrd-configuration", "labels", "os-configuration", "sbom"]


OWN = """\
(filecon "/opt/own(/.*)?" any (system_u object_r usr_t ((s0) (s0))))
"""


@pytest.mark.matrix
def test_rules_of_ones_own_count(debian12: Built, workshop: Workshop, tmp_path: Path) -> None:
    """As docs/selinux.md has it: a module that a command installs."""
    (tmp_path / "own.cil").write_text(OWN)
    more = (
        "  configurations:\n"
        "    - cmd: semodule -n -X 400 -s default -i /usr/share/selinux/local/own.cil\n"
        "    - cmd: mkdir -p /opt/own && touch /opt/own/file\n"
    )
    template = write_template(tmp_path, DEBIAN12, "permissive", more)
    placed = "    - {local: own.cil, final: /usr/share/selinux/local/own.cil}\n"
    template.write_text(template.read_text() + placed)
    own = build(workshop, DEBIAN12, template)
    (folder,) = own.layers("labels")
    found = {label.path: label.value for label in Labels.read(folder).tree}
    assert found["opt/own/file"] == b"system_u:object_r:usr_t:s0\0"
    (before,) = debian12.layers("labels")
    assert found["usr/bin/true"] == {label.path: label.value for label in Labels.read(before).tree}["usr/bin/true"]


SAY = """
import os, sys
for folder, folders, files in os.walk(sys.argv[1].encode()):
    for path in (folder, *(os.path.join(folder, n) for n in folders + files)):
        label = os.getxattr(path, "security.selinux", follow_symlinks=False)
        print(ascii(path[len(sys.argv[1]) + 1:]), ascii(label.rstrip(b"\\0")))
"""


@pytest.mark.matrix
@pytest.mark.parametrize(
    ("write", "read"),
    [
        (lambda _: ("mkfs.erofs", "--tar=f", DISK, "/run/archive"), ("fsck.erofs", "--extract=/tmp/out", "--xattrs")),
        (
            lambda labels: sqfstar(0, ("zstd",), labels.tree),
            ("unsquashfs", "-quiet", "-no-progress", "-d", "/tmp/out"),
        ),
    ],
    ids=["erofs", "squashfs"],
)
def test_writers_of_a_read_only_root_take_labels_from_the_stream_that_they_read(
    debian13: Built, tmp_path: Path, write: Callable[[Labels], tuple[str, ...]], read: tuple[str, ...]
) -> None:
    sandbox, layer, image = debian13.workshop.bare_sandbox(), tmp_path / "layer", tmp_path / "image"
    sandbox.new_layer(layer)
    names = ["a b/file", 'a b/"q\\.[1]+', "\udcc3(", "\N{LATIN SMALL LETTER E WITH ACUTE}"]
    sandbox.edit(Tree(upper=layer), [*(WriteFile(name, b"1") for name in names), MakeSymlink("link", "nowhere")])
    tree = Tree((layer,))
    job = Job(debian13.root, ("ln", "/mnt/a b/file", "/mnt/zz"), (MountedTree(Tree(upper=layer), "/mnt"),))
    assert sandbox.run(job).status == 0
    entries = sandbox.listing(tree)
    number = {entry.first: f"u:r:t{i}_t:s0".encode() for i, entry in enumerate(entries)}
    labels = Labels(tuple(Xattr(e.path, "security.selinux", number[e.first] + b"\0") for e in entries))
    sandbox.archive(tree, 0, tmp_path / "archive", labels.tree)
    sandbox.new_file(image, 0)
    mounts = (Bind(image, DISK, read_only=False), Bind(tmp_path / "archive", "/run/archive"))
    done = sandbox.run(Job(debian13.root, write(labels), mounts))
    assert done.status == 0, done.output
    script = f"{shlex.join((*read, DISK))} >&2 && exec python3 -c {shlex.quote(SAY)} /tmp/out"
    lines: list[str] = []
    done = sandbox.run(Job(debian13.root, ("sh", "-c", script), mounts), lines.append)
    assert done.status == 0, lines
    pairs = (re.fullmatch(r"(b'.*'|b\".*\") (b'.*')", line) for line in lines)
    found = {ast.literal_eval(pair[1]): ast.literal_eval(pair[2]) for pair in pairs if pair}
    assert found == {label.path.encode("utf-8", "surrogateescape"): label.value.rstrip(b"\0") for label in labels.tree}
    sandbox.own(image)
    sandbox.remove([layer])


@pytest.mark.boot
@pytest.mark.matrix
@pytest.mark.timeout(2 * SECONDS + 900)
@pytest.mark.parametrize("built", ["debian12", "azl3"], indirect=True)
def test_booted_system_keeps_to_its_policy_as_one_does_that_its_own_tool_labelled(
    built: Built, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """And nothing would get another label."""
    control = build(
        built.workshop, built.target, write_control(tmp_path_factory.mktemp("control"), built.target), built.settings
    )
    assert "labels" not in control.results
    answers, theirs = hear(built.image, SECONDS), hear(control.image, SECONDS, lasting)
    assert answers["mode"].output.split() == theirs["mode"].output.split() == ["Enforcing", built.target.policy]
    assert (answers["failed"].output, theirs["failed"].output) == ("", "")
    assert answers["state"].output == "running"
    # Its own tool leaves users and ranges as they are: it says so of two files of the control that packages brought.
    assert answers["relabel"].output == ""
    assert answers["unlabelled"].output == ""
    assert answers["asks-for-relabel"].status != 0
    processes = {tuple(line.split()) for line in answers["processes"].output.splitlines()}
    assert {("system_u:system_r:init_t:s0", "systemd"), ("system_u:system_r:sshd_t:s0", "sshd")} <= processes
    assert denials(answers) == denials(theirs)

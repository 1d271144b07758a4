"""Extended attributes on their way into an ext4: those of the packages arrive, those of the build host do not."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from os_image_composer.chroot.job import Bind, Job, MountedTree, Tree, WriteFile
from os_image_composer.config.partition_roles import Role
from os_image_composer.image import ext4
from os_image_composer.image.layout import MIB, PlacedPartition
from support.tools import host_tool
from support.workshop import Workshop

pytestmark = pytest.mark.build

# vfs_cap_data revision 2 (linux/capability.h): CAP_NET_RAW permitted and effective.
CAPABILITY = struct.pack("<IIIII", 0x02000001, 1 << 13, 0, 0, 0)
# posix_acl_xattr (linux/posix_acl_xattr.h), version 2: user::rw-, user:1000:r--, group::r--, mask::r--, other::r--.
ACL = struct.pack("<I", 2) + b"".join(
    struct.pack("<HHI", *entry)
    for entry in ((1, 6, 0xFFFFFFFF), (2, 4, 1000), (4, 4, 0xFFFFFFFF), (16, 4, 0xFFFFFFFF), (32, 4, 0xFFFFFFFF))
)
SET = """
import os, sys
path = '/target/odd "name" \\u00e9'
os.setxattr(path, 'security.capability', bytes.fromhex(sys.argv[1]))
os.setxattr(path, 'system.posix_acl_access', bytes.fromhex(sys.argv[2]))
os.setxattr(path, 'user.note', b'kept\\0\\\\1')
try:  # as a host with SELinux would have labelled it; one that has another module lets nobody
    os.setxattr(path, 'security.selinux', b'host_u:object_r:host_t:s0\\0')
except PermissionError:
    pass
"""


@pytest.fixture
def partition() -> PlacedPartition:
    uuid = "11111111-2222-5333-8444-555555555555"
    return PlacedPartition(1, "root", Role.ROOT, "root", "", uuid, MIB, 32 * MIB, "ext4", uuid, uuid, "root", "/", None)


@pytest.fixture
def image(built: Workshop, partition: PlacedPartition, tmp_path: Path) -> Iterator[Path]:
    """A filesystem, cut out of a disk, with one file that has three attributes and an awkward name."""
    sandbox = built.sandbox()
    tools = Tree(built.layers("image-tools"))
    layer, disk = tmp_path / "layer", tmp_path / "disk"
    sandbox.new_layer(layer)
    sandbox.edit(Tree(upper=layer), [WriteFile('/odd "name" é', b"content\n")])
    changeable = MountedTree(Tree(upper=layer), "/target")
    done = sandbox.run(Job(tools, ("python3", "-c", SET, CAPABILITY.hex(), ACL.hex()), (changeable,)))
    assert done.status == 0, done.output
    sandbox.new_file(disk, 40 * MIB)
    survey = sandbox.survey(Tree((layer,)))
    assert {a.name for a in survey.xattrs} == {"security.capability", "system.posix_acl_access", "user.note"}
    (tmp_path / "batch").write_bytes(ext4.attribute_batch(survey.xattrs))
    mounts = (Bind(disk, "/run/disk", read_only=False), Bind(tmp_path / "batch", "/run/batch"))
    for argv, more in (
        (ext4.mke2fs("/run/disk", "/target", partition), (MountedTree(Tree((layer,)), "/target"),)),
        (ext4.debugfs("/run/disk", "/run/batch", partition), ()),
    ):
        done = sandbox.run(Job(tools, argv, (*mounts, *more), env={"SOURCE_DATE_EPOCH": "1700000000"}))
        assert done.status == 0, done.output
    root = tmp_path / "root"
    root.write_bytes(disk.read_bytes()[MIB : 33 * MIB])
    yield root
    sandbox.remove([layer])


def test_capability_acl_and_user_attributes_arrive_as_they_were_seen_inside(image: Path) -> None:
    listing = host_tool("debugfs", "-R", 'ea_list "/odd ""name"" é"', str(image)).stdout.decode()
    # Revision 2, 20 bytes: on the build host's disk it is revision 3, with the builder's uid in it.
    assert "01 00 00 02 00 20 00 00" in listing
    assert re.search(r"security\.capability \(20\)", listing)
    assert "system.posix_acl_access" in listing
    assert "6b 65 70 74 00 5c 31" in listing
    assert "user.overlay" not in listing
    assert "security.selinux" not in listing
    check = host_tool("e2fsck", "-fn", str(image))
    assert check.returncode == 0, check.stdout

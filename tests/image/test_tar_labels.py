"""Labels in a tar that GNU tar wrote: each entry has its own, and everything else stays as it was."""

from __future__ import annotations

import tarfile
from pathlib import Path

from os_image_composer.chroot.tree import Xattr
from os_image_composer.image.selinux import ATTRIBUTE, Labels
from os_image_composer.image.tar_labels import label_tar
from support.tools import host_tool

NAMES = ("etc/shadow", "usr/bin/" + "n" * 160, "odd ümlaut", "empty", "large")


def labels(*paths: str) -> Labels:
    return Labels(tuple(Xattr(path, ATTRIBUTE, f"system_u:object_r:{len(path)}_t:s0\0".encode()) for path in paths))


def packed(folder: Path) -> Path:
    tree = folder / "tree"
    for name in NAMES:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(name.encode() if name != "empty" else b"")
    (tree / "large").write_bytes(bytes(range(256)) * 10_000)
    (tree / "link").symlink_to("etc/shadow")
    (tree / "hard").hardlink_to(tree / "etc" / "shadow")
    path = folder / "a.tar"
    done = host_tool("tar", "-cf", str(path), "--format=posix", "--sort=name", "-C", str(tree), ".")
    assert done.returncode == 0, done.stderr
    return path


def members(path: Path) -> dict[str, tuple[tarfile.TarInfo, bytes]]:
    with tarfile.open(path) as tar:
        found = {}
        for member in tar:
            stream = tar.extractfile(member) if member.isreg() else None
            found[member.name] = (member, stream.read() if stream else b"")
        return found


def test_every_entry_has_its_label_under_both_names_and_the_rest_is_as_it_was(tmp_path: Path) -> None:
    path = packed(tmp_path)
    before = members(path)
    label_tar(path, labels("", "etc", "etc/shadow", "link", NAMES[1], "odd ümlaut"))
    after = members(path)
    assert list(after) == list(before)
    for name, (member, content) in after.items():
        old, old_content = before[name]
        assert content == old_content
        assert (member.mode, member.uid, member.size, member.linkname) == (old.mode, old.uid, old.size, old.linkname)
        headers = dict(member.pax_headers)
        label = headers.pop(f"SCHILY.xattr.{ATTRIBUTE}", None)
        assert headers.pop(f"RHT.{ATTRIBUTE}", None) == (label.rstrip("\0") if label else None)
        assert headers == old.pax_headers
        plain = name.removeprefix("./").removeprefix(".")
        labelled = plain in ("", "etc", "etc/shadow", "link", NAMES[1], "odd ümlaut")
        assert label == (f"system_u:object_r:{len(plain)}_t:s0\0" if labelled else None), name
    assert host_tool("tar", "-tf", str(path)).returncode == 0
    assert {p.name for p in tmp_path.iterdir()} == {"tree", "a.tar"}


def test_without_labels_not_a_byte_changes(tmp_path: Path) -> None:
    path = packed(tmp_path)
    names = members(path)
    label_tar(path, Labels())
    again = members(path)
    assert {name: (m.pax_headers, c) for name, (m, c) in again.items()} == {
        name: (m.pax_headers, c) for name, (m, c) in names.items()
    }

"""Small filesystems and disks, made by the tools that everybody uses, to compare our readers with."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from support.tools import host_tool

MIB = 1 << 20


def made(*argv: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    done = host_tool(*argv, stdin=stdin)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def empty_file(path: Path, size: int) -> Path:
    with path.open("wb") as stream:
        stream.truncate(size)
    return path


def sample_tree(root: Path) -> Path:
    """Files of every size that a reader treats in its own way, a large directory, symlinks, odd names."""
    (root / "etc").mkdir(parents=True)
    (root / "etc" / "os-release").write_text("ID=sample\nNAME=Sample\n")
    (root / "empty").write_bytes(b"")
    (root / "one-block").write_bytes(b"x" * 700)
    (root / "large").write_bytes(bytes(n * 7 % 251 for n in range(300_000)))
    with (root / "sparse").open("wb") as stream:
        for offset in range(0, 4 * MIB, 256 << 10):
            stream.seek(offset)
            stream.write(b"data at %d" % offset)
        stream.truncate(5 * MIB)
    (root / "many").mkdir()
    for number in range(400):
        (root / "many" / f"a-rather-long-file-name-number-{number:04}").write_bytes(b"%d" % number)
    (root / "short-link").symlink_to("etc/os-release")
    (root / "absolute-link").symlink_to("/etc/os-release")
    (root / "long-link").symlink_to("./" * 60 + "etc/os-release")
    (root / "out-link").symlink_to("../../../../etc/os-release")
    (root / "loop").symlink_to("loop")
    (root / "nowhere").symlink_to("missing")
    (root / "dir-link").symlink_to("etc")
    (root / "spaces and ümlauts").write_bytes(b"u")
    os.mkfifo(root / "pipe")
    return root


def ext_image(path: Path, tree: Path, kind: str, *options: str, size: int = 24 * MIB) -> Path:
    empty_file(path, size)
    made("mke2fs", "-q", "-F", "-t", kind, "-L", "sample", *options, "-d", str(tree), str(path))
    return path


def fat_image(path: Path, bits: int, tree: Path) -> Path:
    """Regular files of `tree` only: FAT has no links."""
    size = {12: 3 * MIB, 16: 24 * MIB, 32: 40 * MIB}[bits]
    empty_file(path, size)
    made("mkfs.fat", "-F", str(bits), "-n", "SAMPLE", "-i", "ABCD1234", *(("-s", "1") if bits == 32 else ()), str(path))
    environment = ["-i", str(path)]
    folders = sorted(p for p in tree.rglob("*") if p.is_dir() and not p.is_symlink())
    for folder in folders:
        made("mmd", *environment, f"::{folder.relative_to(tree)}")
    for folder in [tree, *folders]:
        files = [p for p in sorted(folder.iterdir()) if p.is_file() and not p.is_symlink()]
        if files:
            target = "" if folder == tree else str(folder.relative_to(tree))
            made("mcopy", *environment, *map(str, files), f"::{target}/")
    return path


def partitioned(path: Path, script: str, size: int = 64 * MIB) -> Path:
    empty_file(path, size)
    made("sfdisk", "--quiet", str(path), stdin=script.encode())
    return path

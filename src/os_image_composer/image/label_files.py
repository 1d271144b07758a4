"""The labels of a root as the writers of read-only filesystems take them; ext4 gets them as other attributes."""

from __future__ import annotations

import re

from os_image_composer.image.selinux import ATTRIBUTE, Labels

# What is magic in a pattern, and what a pattern's text cannot hold: file_contexts(5) divides by blanks and is ASCII.
_MAGIC = re.compile(rb"[.^$?*+|\[\](){}\\]")
_NO_TEXT = re.compile(rb"[^!-~]")


def erofs_file_contexts(labels: Labels) -> bytes:
    """For `mkfs.erofs --file-contexts`: one rule a path, which fits no other. Where a name holds what a rule cannot,
    any character may stand; such a rule yields to those of paths that are plain."""
    lines = []
    for path, _, value in labels.tree:
        plain = _MAGIC.sub(rb"\\\g<0>", b"/" + path.encode("utf-8", "surrogateescape"))
        lines.append(_NO_TEXT.sub(b".", plain) + b"\t" + value.rstrip(b"\0") + b"\n")
    return b"".join(lines)


def squashfs_attributes(labels: Labels) -> bytes:
    """For `mksquashfs -pf`: one definition of an attribute a path. Of several names of a file the first has it. The
    tool takes a value as it stands, so it does not end with NUL, which the kernel does not need."""
    lines = []
    for path, _, value in labels.tree:
        name = re.sub(rb'[\\"]', rb"\\\g<0>", path.encode("utf-8", "surrogateescape") or b"/")
        lines.append(b'"%s" x %s=%s\n' % (name, ATTRIBUTE.encode(), value.rstrip(b"\0")))
    return b"".join(lines)

"""Extended attributes in images whose form has none: which of them can be made again when the system starts.

A cpio archive has no extended attributes at all; squashfs has capabilities, but no access lists.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence

from os_image_composer.chroot.job import Edit, MakeSymlink, Tree, WriteFile
from os_image_composer.chroot.sandbox import Sandbox
from os_image_composer.chroot.tree import Xattr
from os_image_composer.errors import StepError
from os_image_composer.formats.capability import capability_text

CAPABILITY = "security.capability"
UNIT = "image-capabilities.service"
_UNITS = "usr/lib/systemd/system"
_SETCAP = ("usr/sbin/setcap", "sbin/setcap", "usr/bin/setcap")
# What systemd-tmpfiles gives its access list at each start (tmpfiles.d/systemd.conf).
_MADE_AGAIN = ("var/log/journal", "var/log/journal/*")


def check_lost(attributes: Sequence[Xattr], kept: tuple[str, ...], form: str) -> None:
    """Raises StepError `attributes-lost` for attributes other than those whose names match one of `kept` that an image
    of that form would lose, and nothing would make again."""
    lost = [a for a in attributes if not _matches(a.name, kept) and not _matches(a.path, _MADE_AGAIN)]
    if lost:
        raise StepError(
            "attributes-lost",
            f"{form} cannot hold the extended attributes of {len(lost)} files",
            cause="a file would be open to others than it should be, or not work",
            detail=tuple(f"/{a.path}: {a.name}" for a in lost[:20]),
            hint="remove them by a command in systemConfig.configurations (`setfacl -b FILE`), "
            "or make a raw image whose '/' is ext4 or erofs",
        )


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def capabilities_unit(sandbox: Sandbox, tree: Tree, attributes: Sequence[Xattr]) -> list[Edit]:
    """A unit that gives files their capabilities, before anything that could want them starts. Raises StepError
    `capabilities-lost` where the image has no setcap(8)."""
    found = [a for a in attributes if a.name == CAPABILITY]
    if not found:
        return []
    setcap = [path for path in _SETCAP if sandbox.glob(tree, path)]
    if not setcap:
        raise StepError(
            "capabilities-lost",
            f"an initrd image cannot hold the capabilities of {len(found)} files, and the image has no setcap",
            cause="programs that need them would not work: " + ", ".join(f"/{a.path}" for a in found[:5]),
            hint="add the package that has setcap to systemConfig.packages (Debian: libcap2-bin)",
        )
    lines = [f"ExecStart=/{setcap[0]} {_quoted(_text(a))} {_quoted('/' + a.path)}\n" for a in found]
    unit = (
        "[Unit]\n"
        "Description=Capabilities of files, which an initrd image cannot hold\n"
        "DefaultDependencies=no\n"
        "Before=sysinit.target systemd-networkd.service shutdown.target\n"
        "Conflicts=shutdown.target\n"
        "\n"
        "[Service]\n"
        "Type=oneshot\n"
        "RemainAfterExit=yes\n"
        f"{''.join(lines)}"
    )
    return [
        WriteFile(f"/{_UNITS}/{UNIT}", unit.encode()),
        MakeSymlink(f"/{_UNITS}/sysinit.target.wants/{UNIT}", f"../{UNIT}"),
    ]


def _text(attribute: Xattr) -> str:
    text = capability_text(attribute.value)
    if text is None or text.startswith("0x") or "rootid" in text:
        raise StepError("capabilities-lost", f"the capabilities of /{attribute.path} are not understood: {text}")
    return text


def _quoted(word: str) -> str:
    """A word of a command line in a unit (systemd.service(5), systemd.syntax(7))."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"'

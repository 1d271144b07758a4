"""What a root filesystem says of SELinux: its configuration, and whether its files have labels."""

from __future__ import annotations

from dataclasses import dataclass

from os_image_composer.formats.filesystem import FileSystem, PosixFileSystem, read_file

_CONFIG = "/etc/selinux/config"
_CONFIG_LIMIT = 1 << 20
_ATTRIBUTE = "security.selinux"
# What every root has; whether all the rest has labels too, only the policy's own tools can tell.
_LOOKED_AT = ("/", "/etc", "/etc/passwd", "/usr", "/usr/bin", "/usr/lib/systemd/systemd", "/var/lib")


@dataclass(frozen=True)
class SelinuxState:
    """`mode` and `policy` as selinux_config(5) has them, None where they are not said. `labels` is all, some or none of
    a few files that were looked at, None where the filesystem has no attributes."""

    mode: str | None
    policy: str | None
    labels: str | None


def read_selinux(filesystem: FileSystem) -> SelinuxState | None:
    """None where there is neither a configuration nor a label. Raises FormatError."""
    text = (read_file(filesystem, _CONFIG, _CONFIG_LIMIT) or b"").decode("utf-8", "replace")
    said = dict(line.strip().split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))
    labels = _labels(filesystem)
    if not said and labels in (None, "none"):
        return None
    return SelinuxState(said.get("SELINUX"), said.get("SELINUXTYPE"), labels)


def _labels(filesystem: FileSystem) -> str | None:
    if not isinstance(filesystem, PosixFileSystem):
        return None
    nodes = [node for path in _LOOKED_AT if (node := filesystem.find(path)) is not None]
    labelled = [node for node in nodes if _ATTRIBUTE in filesystem.attributes(node)]
    if not labelled:
        return "none"
    return "all" if len(labelled) == len(nodes) else "some"

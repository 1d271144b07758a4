"""Where a system whose root cannot be written to keeps what changes: what the initrd is told about it.

The program that does it, and how an initrd generator takes it in, are the distribution's data.
"""

from __future__ import annotations

import shlex
import string
from collections.abc import Iterator

from os_image_composer.config.partition_roles import Role
from os_image_composer.image.initrd import InitrdFile
from os_image_composer.image.layout import DiskLayout

# Folders of the root that live on the data partition, with what the root has in them as their first content.
KEPT = ("home", "root", "srv", "var")


def state_settings(layout: DiskLayout, folder: str, verified: tuple[str, ...]) -> tuple[InitrdFile, ...]:
    """What the program in `folder` reads. `verified` are folders below those that are kept which stay as the root has
    them, such as the package database: it says what is in the root."""
    (data,) = layout.of(Role.STATE)
    own = {p.mount_point.strip("/") for p in layout.of(Role.OTHER) if p.mount_point}
    kept = [name for name in _kept(data.mount_point) if name not in own]
    stay_verified = [path for path in verified if _below(path, kept)]
    last = max(layout.partitions, key=lambda p: p.start) == data
    settings = {
        "DATA": data.uuid,
        "OPTIONS": data.mount_options or "defaults",
        "KEPT": " ".join(kept),
        "VERIFIED": " ".join(stay_verified),
        "GROW": "yes" if last else "no",
    }
    device = _device(data.uuid)
    return (
        InitrdFile(f"{folder}/state.conf", "".join(f"{key}={shlex.quote(v)}\n" for key, v in settings.items())),
        InitrdFile(f"{folder}/device.conf", f"[Unit]\nRequires={device}\nAfter={device}\n"),
        *(InitrdFile(f"{folder}/units/{path}", text) for path, text in _units(kept, stay_verified)),
    )


def _units(kept: list[str], verified: list[str]) -> Iterator[tuple[str, str]]:
    """For the running systemd: what the initrd mounted is taken off by nobody but the very end, when nothing writes any
    more, as the root is (systemd.mount(5), "Default Dependencies"). One of those that are kept is a file of its own:
    where another unit asks for it before it is seen to be mounted, systemd reads no drop-in (257, mount.c,
    mount_setup_existing_unit)."""
    stays = "[Unit]\nDefaultDependencies=no\n"
    for path in kept:
        name = path.replace("%", "%%")
        yield mount_unit(path), f"{stays}[Mount]\nWhat=/run/state/{name}\nWhere=/{name}\nType=none\nOptions=bind\n"
    for path in ("run/state", *verified):
        yield f"{mount_unit(path)}.d/50-image-state.conf", stays


def mount_unit(path: str) -> str:
    """The name of the unit of what is mounted at `path` (systemd.unit(5), string escaping for paths)."""
    safe = string.ascii_letters + string.digits + ":_."
    named = []
    for part in path.strip("/").split("/"):
        letters = [c if c in safe else "".join(rf"\x{byte:02x}" for byte in c.encode()) for c in part]
        named.append("".join(letters))
    name = "-".join(named)
    return (r"\x2e" + name[1:] if name.startswith(".") else name) + ".mount"


def _device(uuid: str) -> str:
    """The unit of a partition by its UUID (systemd.unit(5), string escaping for paths)."""
    dash = r"\x2d"
    return f"dev-disk-by{dash}partuuid-{uuid.replace('-', dash)}.device"


def _kept(mount_point: str | None) -> list[str]:
    """The folders, with the one that the template mounts the data partition at."""
    own = (mount_point or "").strip("/")
    return [*KEPT, *([own] if own and not _below(own, KEPT) else [])]


def _below(path: str, folders: tuple[str, ...] | list[str]) -> bool:
    return any(path == folder or path.startswith(f"{folder}/") for folder in folders)

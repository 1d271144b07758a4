"""The frozen, merged description of one image: what a build is asked to make.

Sizes are bytes. `None` means "not said"; defaults are filled in by the OS default template, not here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from os_image_composer.errors import Origin


@dataclass(frozen=True)
class Secret:
    """A plain password. Never printed, never compared in an id; `reveal` is called where it is hashed."""

    _value: str = field(repr=False)

    def reveal(self) -> str:
        return self._value

    def __str__(self) -> str:
        return "(hidden)"


@dataclass(frozen=True)
class Target:
    os: str
    dist: str
    arch: str  # x86_64 | aarch64
    image_type: str  # raw


@dataclass(frozen=True)
class Artifact:
    type: str  # raw
    compression: str | None = None


@dataclass(frozen=True)
class Partition:
    """A partition: `start` and `end` in bytes from the start of the disk; `end` None is the rest of it."""

    id: str
    name: str
    type: str | None
    type_uuid: str | None
    fs_type: str | None
    fs_label: str | None
    start: int
    end: int | None
    mount_point: str | None
    mount_options: str | None
    flags: tuple[str, ...]


@dataclass(frozen=True)
class Disk:
    name: str
    size: int
    partition_table_type: str  # gpt
    partitions: tuple[Partition, ...]
    artifacts: tuple[Artifact, ...]


@dataclass(frozen=True)
class Bootloader:
    boot_type: str  # efi
    provider: str  # systemd-boot


@dataclass(frozen=True)
class Kernel:
    version: str | None
    cmdline: str
    packages: tuple[str, ...]
    extra_modules: tuple[str, ...]
    uki: bool


@dataclass(frozen=True)
class User:
    """A login account. `password` plain and `password_hash` exclude each other; neither means locked."""

    name: str
    password: Secret | None
    password_hash: Secret | None
    groups: tuple[str, ...]
    sudo: bool
    home: str | None
    shell: str | None


@dataclass(frozen=True)
class AdditionalFile:
    """A file of the build host (`local`, absolute) that is copied to `final` (absolute, in the image)."""

    local: Path
    final: str


@dataclass(frozen=True)
class Configuration:
    """A shell command that runs inside the image's root."""

    cmd: str
    origin: Origin | None


@dataclass(frozen=True)
class PackageGroup:
    """The packages that one template of the chain adds; the first group is the OS default template's."""

    label: str
    packages: tuple[str, ...]


def package_key(name: str) -> str:
    """The key path under which `ImageSpec.origins` has the place where a package was asked for."""
    return f"systemConfig.packages[{name}]"


@dataclass(frozen=True)
class ImageSpec:
    """Everything that a build is asked to make. `origins` maps a key path (`systemConfig.hostname`,
    `disk.partitions[0].end`, `systemConfig.packages[htop]`) to the file and line it came from."""

    name: str
    version: str
    target: Target
    disk: Disk
    config_name: str
    hostname: str | None
    package_groups: tuple[PackageGroup, ...]
    bootloader: Bootloader
    kernel: Kernel
    users: tuple[User, ...]
    additional_files: tuple[AdditionalFile, ...]
    configurations: tuple[Configuration, ...]
    origins: Mapping[str, Origin]

    def origin(self, path: str) -> Origin | None:
        """Where `path`, or the nearest key above it, was written."""
        while path:
            if path in self.origins:
                return self.origins[path]
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        return None

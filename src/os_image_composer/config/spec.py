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
    image_type: str  # raw | img | iso


@dataclass(frozen=True)
class Artifact:
    """A file to make. `subformat` is given for the types that have several; `block_map` asks for a bmap beside it."""

    type: str  # raw | qcow2 | vhd | vhdx | vmdk | vdi | tar
    compression: str | None = None  # zstd | gz | xz | bz2
    subformat: str | None = None  # vhd: fixed | dynamic; vmdk: monolithic | streamOptimized
    block_map: bool = False


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


#: Of an image that is no disk.
NO_DISK = Disk("", 0, "gpt", (), ())


@dataclass(frozen=True)
class CarriedFile:
    """A file of the build host (`local`, absolute) that a medium has under `name`."""

    local: Path
    name: str


@dataclass(frozen=True)
class Live:
    """A system that runs from its medium; `title` None is what the system calls itself. `carried` lies on the medium
    beside the system."""

    title: str | None = None
    carried: tuple[CarriedFile, ...] = ()


@dataclass(frozen=True)
class Bootloader:
    """Of an image that has none both words are empty. `timeout` is in seconds. `tries` is how often an entry is started
    before it is given up, None: nobody counts. `kernels` says which installed kernels get an entry, `chain` whose
    programs start them."""

    boot_type: str  # efi | legacy
    provider: str  # systemd-boot | grub
    timeout: int = 0
    tries: int | None = None
    kernels: str = "default"  # default | all
    chain: str = "own"  # own | vendor


@dataclass(frozen=True)
class Kernel:
    version: str | None
    cmdline: str
    packages: tuple[str, ...]
    extra_modules: tuple[str, ...]
    uki: bool


@dataclass(frozen=True)
class Immutability:
    """`enabled`: the root filesystem is sealed with dm-verity."""

    enabled: bool = False


@dataclass(frozen=True)
class User:
    """A login account. `password` plain, to be hashed with `hash_algo`, and `password_hash` exclude each other; neither
    means locked. `password_max_age` is in days."""

    name: str
    password: Secret | None = None
    password_hash: Secret | None = None
    hash_algo: str = "sha512"
    password_max_age: int | None = None
    ssh_authorized_keys: tuple[str, ...] = ()
    uid: int | None = None
    groups: tuple[str, ...] = ()
    sudo: bool = False
    home: str | None = None
    shell: str | None = None


@dataclass(frozen=True)
class Group:
    name: str
    gid: int | None


@dataclass(frozen=True)
class Route:
    """To the network `to` (`default` or address/length) by the router `via`."""

    to: str
    via: str


@dataclass(frozen=True)
class Interface:
    """A network interface by its name (or a pattern of names), or by its hardware address where that is given.
    `addresses` have their prefix length."""

    name: str
    mac_address: str | None
    dhcp4: bool
    dhcp6: bool
    addresses: tuple[str, ...]
    routes: tuple[Route, ...]
    nameservers: tuple[str, ...]
    optional: bool = False


@dataclass(frozen=True)
class Network:
    backend: str  # systemd-networkd | netplan
    interfaces: tuple[Interface, ...]


@dataclass(frozen=True)
class Keyboard:
    """Names of XKB (keyboard(5)), several divided by commas; empty text where there is none."""

    layout: str
    variant: str
    model: str
    options: str


@dataclass(frozen=True)
class ServiceStates:
    """Units by their whole names."""

    enable: tuple[str, ...]
    disable: tuple[str, ...]
    mask: tuple[str, ...]


@dataclass(frozen=True)
class AdditionalFile:
    """A file of the build host (`local`, absolute) that is copied to `final` (absolute, in the image). `mode` None is
    that of the file, reduced to 0755 or 0644; `owner` and `group` are names or numbers of the image. `folder` is where
    the folder went that it was copied with: what must be made of the image's folders from there on is its owner's."""

    local: Path
    final: str
    mode: int | None
    owner: str | None
    group: str | None
    folder: str | None = None


@dataclass(frozen=True)
class Configuration:
    """A shell command that runs inside the image's root."""

    cmd: str
    origin: Origin | None


@dataclass(frozen=True)
class BootKey:
    """A private key of the build host and its certificate; `passphrase` is the file that opens it, where it is named,
    `said` the key path of the template that names it."""

    key: Path
    certificate: Path
    passphrase: Path | None
    said: str


@dataclass(frozen=True)
class SecureBoot:
    """The keys that sign what boots, and its enrolment; where there is no key of their own, `db` signs for `kek` and
    `pk` as well. `dated` is that of what is enrolled, in seconds since the epoch; None is the lock's date."""

    db: BootKey
    kek: BootKey | None = None
    pk: BootKey | None = None
    trusted: tuple[Path, ...] = ()
    enroll: str = "manual"  # manual | if-safe | force
    dated: int | None = None


@dataclass(frozen=True)
class PackageGroup:
    """The packages that one template of the chain adds; the first group is the OS default template's."""

    label: str
    packages: tuple[str, ...]


@dataclass(frozen=True)
class RequestedSuite:
    """A suite of the distribution that the template asks for; `priority` takes the place of the one that the suite's
    own metadata gives it."""

    codename: str
    priority: int | None


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
    timezone: str | None
    locale: str | None
    keyboard: Keyboard | None
    package_groups: tuple[PackageGroup, ...]
    weak_dependencies: bool
    bootloader: Bootloader
    kernel: Kernel
    immutability: Immutability
    users: tuple[User, ...]
    groups: tuple[Group, ...]
    network: Network | None
    services: ServiceStates
    selinux: str | None  # disabled | permissive | enforcing; None leaves it as the packages do
    additional_files: tuple[AdditionalFile, ...]
    configurations: tuple[Configuration, ...]
    suites: tuple[RequestedSuite, ...]
    live: Live
    secure_boot: SecureBoot | None
    origins: Mapping[str, Origin]

    def origin(self, path: str) -> Origin | None:
        """Where `path`, or the nearest key above it, was written."""
        while path:
            if path in self.origins:
                return self.origins[path]
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        return None

"""The template language: every key, what it may hold, and which keys are only known so far.

Key names are those of the tool's predecessor, so its templates can be read. A key that this version does not
carry out is an error that says so, unless its value asks for nothing (`immutability: {enabled: false}`).
Lists and mappings hold what one file says, or the merge of several; `load` makes the frozen `ImageSpec`.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from os_image_composer.config import rules, system_rules
from os_image_composer.config.partition_types import PARTITION_TYPES
from os_image_composer.config.rules import choice, not_built, pattern
from os_image_composer.config.section import (
    Later,
    LaterList,
    LaterSwitch,
    MountPoint,
    Packages,
    Section,
    Size,
    Text,
)
from os_image_composer.config.selinux import MODES
from os_image_composer.config.template_accounts import GroupTemplate, UserTemplate
from os_image_composer.config.template_network import NetworkTemplate
from os_image_composer.config.template_secure import SecureBootTemplate
from os_image_composer.config.template_system import (
    CarriedFileTemplate,
    ConfigurationTemplate,
    FileTemplate,
    KeyboardTemplate,
    ServicesTemplate,
)

__all__ = [
    "DiskTemplate",
    "ImageTemplate",
    "KernelTemplate",
    "LiveTemplate",
    "PartitionTemplate",
    "RepositoryTemplate",
    "SystemTemplate",
]

ARTIFACT_TYPES = ("raw", "qcow2", "vhd", "vhdx", "vmdk", "vdi", "tar")
FILE_SYSTEMS = ("ext4", "erofs", "squashfs", "fat32", "vfat")
LATER_FILE_SYSTEMS = ("btrfs", "ext2", "ext3", "fat16", "linux-swap", "xfs")


class Metadata(Section):
    """For people and search; a build ignores it."""

    description: str | None = None
    """What the image is for."""
    use_cases: list[str] = Field([], alias="use_cases")
    """What it is good for, one line each."""
    keywords: list[str] = []
    """Words to find it by."""


class Image(Section):
    name: Annotated[
        str,
        AfterValidator(
            pattern(
                r"[a-zA-Z0-9]([a-zA-Z0-9_-]{0,62}[a-zA-Z0-9])?",
                "letters, digits, '-' and '_', at most 64, beginning and ending with a letter or digit",
            )
        ),
    ]
    """The image's name: its file's name begins with it, and results of other builds of this name are reused."""
    version: Annotated[
        str,
        AfterValidator(
            pattern(
                r"[0-9]{1,9}(\.[A-Za-z0-9-]{1,32}){0,2}(\+[A-Za-z0-9.-]{1,32})?",
                "one to three parts divided by dots, the first a number, then perhaps '+' and a build's name",
            )
        ),
    ]
    """The image's version, in the name of its file: `1`, `1.2`, `1.2.3+build4`."""


class Target(Section):
    """`os`, `dist` and `arch` are compared with what the distribution data offers, so only typed here."""

    os: str
    """The operating system, as the folders below `config/osv` are named."""
    dist: str
    """The distribution's release."""
    arch: str
    """The machine's architecture."""
    image_type: Annotated[str, AfterValidator(choice(("raw", "img", "iso"), ("wsl2",)))]
    """The kind of image: a `raw` disk, an initrd (`img`) that has the whole system in it, or a live `iso`."""


class ArtifactTemplate(Section):
    type: Annotated[str, AfterValidator(rules.artifact_type), AfterValidator(choice(ARTIFACT_TYPES))] = "raw"
    """The file's format: a disk as it is, one of the formats of hypervisors, or the root file system as a tar."""
    subformat: Annotated[str, AfterValidator(choice(("fixed", "dynamic", "monolithic", "streamOptimized")))] | None = (
        None
    )
    """Of a vhd `fixed`, which Azure takes, or `dynamic`; of a vmdk `monolithic` or `streamOptimized`. The first of the
    two where it is left out."""
    compression: Annotated[str, AfterValidator(choice(("zstd", "gz", "gzip", "xz", "bz2")))] | None = None
    """How the file is compressed; not at all where it is left out."""
    bmap: bool = False
    """Whether a raw disk gets a block map beside it, with which bmaptool writes it to a stick."""


class PartitionTemplate(Section):
    id: Annotated[str, AfterValidator(pattern(r"[A-Za-z0-9][A-Za-z0-9_-]{0,35}", "letters, digits, '-' and '_'"))]
    """The partition's name in the template; its UUIDs follow from it."""
    index: Later = None
    """The partition's number in the table."""
    name: (
        Annotated[str, AfterValidator(pattern(r"[ !#-\[\]-~]{1,36}", '1 to 36 ASCII characters without " and \\'))]
        | None
    ) = None
    """The name in the partition table; the id where it is left out."""
    type: Annotated[str, AfterValidator(choice(tuple(PARTITION_TYPES)))] | None = None
    """The partition type by name; `linux` where neither this nor typeUUID is given."""
    type_uuid: (
        Annotated[
            str,
            AfterValidator(
                pattern(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}", "a GUID: 8-4-4-4-12 hex digits")
            ),
        ]
        | None
    ) = Field(None, alias="typeUUID")
    """The partition type by GUID."""
    fs_type: Annotated[str, AfterValidator(choice(FILE_SYSTEMS, LATER_FILE_SYSTEMS))] | None = None
    """The file system."""
    fs_label: (
        Annotated[str, AfterValidator(pattern(r"[A-Za-z0-9_.-]{1,16}", "1 to 16 of A-Z a-z 0-9 _ . -"))] | None
    ) = None
    """The file system's label."""
    start: Size
    """Where the partition begins on the disk, such as `1MiB`."""
    end: Annotated[int | None, BeforeValidator(rules.partition_end)]
    """Where the partition ends, such as `257MiB`; `"0"` is the end of the disk."""
    mount_point: MountPoint = None
    """Where the running system mounts it; `/` is the root, `none` is nowhere."""
    mount_options: (
        Annotated[str, AfterValidator(pattern(r"[A-Za-z0-9=,._:+/@%-]+", "options divided by commas"))] | None
    ) = None
    """Options of the mount, divided by commas (fstab(5))."""
    flags: list[Annotated[str, AfterValidator(choice(("boot", "esp", "bios_grub"), ("legacy_boot",)))]] = []
    """Marks that say what the type says too: `boot` and `esp` of an EFI system partition, `bios_grub` of one of type
    `bios`."""


class DiskTemplate(Section):
    name: Text
    """A name for the layout."""
    path: Later = None
    """The disk that an installer writes to."""
    selection_policy: Later = None
    """How an installer chooses the disk."""
    extend_last_partition_to_fill_disk: LaterSwitch = False
    """Whether an installer lets the last partition fill the disk."""
    artifacts: list[ArtifactTemplate] = []
    """The files to make; one raw image where it is left out."""
    size: Size
    """The size of the disk, such as `4GiB`."""
    partition_table_type: Annotated[str, AfterValidator(choice(("gpt",), ("mbr",)))] = "gpt"
    """The kind of partition table."""
    partitions: list[PartitionTemplate]
    """The partitions, in the order of the table."""


class BootloaderTemplate(Section):
    boot_type: Annotated[str, AfterValidator(choice(("efi", "legacy")))] | None = None
    """How the firmware starts the machine: UEFI, or `legacy`, a BIOS."""
    provider: Annotated[str, AfterValidator(choice(("systemd-boot", "grub", "grub2")))] | None = None
    """The boot loader; `grub2` is another name of `grub`."""
    timeout: Annotated[int, AfterValidator(rules.whole_number(0, 3600))] | None = None
    """Seconds for which the menu is shown; 0, as where it is left out, starts the default entry at once."""
    tries: Annotated[int, AfterValidator(rules.whole_number(1, 99))] | None = None
    """How often an entry is started that has not yet been confirmed by a system that came up (systemd-boot)."""
    kernels: Annotated[str, AfterValidator(choice(("default", "all")))] | None = None
    """Which installed kernels get an entry: the `default` one, which is the newest or that of `kernel.version`, or
    `all`."""
    chain: Annotated[str, AfterValidator(choice(("own", "vendor")))] | None = None
    """Whose programs start the kernel: `own`, made here, or `vendor`, the distribution's signed shim, boot loader and
    kernel, or unified kernel image, as they are."""


class KernelTemplate(Section):
    name: Later = None
    """A name for the kernel."""
    version: Annotated[str, AfterValidator(pattern(r"[0-9][A-Za-z0-9.+~_-]*", "such as 6.12 or 6.12.48"))] | None = None
    """The kernel to boot where several are installed: the beginning of its version."""
    cmdline: Annotated[str, AfterValidator(rules.kernel_command_line)] | None = None
    """The kernel's command line, without `root=`."""
    enable_extra_modules: Annotated[str, AfterValidator(rules.module_names)] | None = None
    """Kernel modules that the initrd gets beside those it finds itself, divided by blanks."""
    uki: bool | None = None
    """Whether kernel, initrd and command line are one file (a unified kernel image); where it is left out they are with
    systemd-boot, and not with GRUB."""
    packages: Packages | None = None
    """The packages that bring the kernel."""


class LiveTemplate(Section):
    """A system that runs from the medium that it is started from."""

    title: (
        Annotated[
            str,
            AfterValidator(pattern(r"[A-Za-z0-9][A-Za-z0-9 ()+,./:_-]{0,59}", "letters, digits, blanks, ()+,-./:_")),
        ]
        | None
    ) = None
    """The system's name in the menu; the one that the system gives itself (os-release(5)) where it is left out."""
    carry: list[CarriedFileTemplate] = []
    """Files that the medium carries beside the system, such as images that are written to disks from it."""


class Immutability(Section):
    enabled: bool
    """Whether the root file system is sealed (dm-verity)."""
    secure_boot_db_key: str | None = Field(None, alias="secureBootDBKey")
    """The private key that signs what boots; all three or none. `secureBoot` says the same and more."""
    secure_boot_db_crt: str | None = Field(None, alias="secureBootDBCrt")
    """Its certificate, PEM."""
    secure_boot_db_cer: str | None = Field(None, alias="secureBootDBCer")
    """Its certificate, DER."""


class Encryption(Section):
    enabled: bool
    """Whether partitions are encrypted (LUKS2)."""
    passphrase_file: str | None = None
    """A file of the build host with the passphrase."""
    partitions: list[str] = []
    """The ids of the partitions to encrypt."""
    unlock: str | None = None
    """How the machine unlocks them."""


class SystemTemplate(Section):
    name: (
        Annotated[str, AfterValidator(pattern(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", "letters, digits, '.', '_', '-'"))]
        | None
    ) = None
    """The configuration's name; the output folder is named after it."""
    description: str | None = None
    """What the configuration is for."""
    hostname: Annotated[str, AfterValidator(rules.hostname)] | None = None
    """The machine's name, with its domain where it has one."""
    timezone: Annotated[str, AfterValidator(system_rules.timezone)] | None = None
    """The time zone, such as `Europe/Berlin`, from the target's own list of zones."""
    locale: Annotated[str, AfterValidator(system_rules.locale)] | None = None
    """The system's language, such as `en_US.UTF-8`; any but `C.UTF-8` needs a package that has or makes locales."""
    keyboard: KeyboardTemplate | None = None
    """The keyboard of the console; needs a package that sets it up (Debian: `console-setup`)."""
    initramfs: Later = None
    """A template for the initrd."""
    packages: Packages = []
    """Packages to install with all they need: `name`, or one version of it as the distribution's own package manager
    writes that (`name=version`, `name-version`)."""
    weak_dependencies: bool | None = None
    """Whether packages also bring what they only recommend; they do not where it is left out."""
    bootloader: BootloaderTemplate | None = None
    """How the machine boots."""
    kernel: KernelTemplate | None = None
    """The kernel and its command line."""
    live: LiveTemplate | None = None
    """What a live ISO is called, and what it carries."""
    immutability: Immutability | None = None
    """A root file system that cannot change."""
    secure_boot: SecureBootTemplate | None = None
    """Own keys: what boots is signed with them, and machines that have them enrolled start nothing else."""
    fde: Annotated[Encryption, AfterValidator(not_built(lambda value: not value.enabled))] | None = None
    """Encrypted partitions."""
    users: list[UserTemplate] = []
    """Accounts to make or, where the image has them, to change."""
    groups: list[GroupTemplate] = []
    """Groups to make beside those that packages bring and the one of each user."""
    network: NetworkTemplate | None = None
    """The network's interfaces and what configures them."""
    selinux: Annotated[str, AfterValidator(choice(MODES))] | None = None
    """Whether the kernel keeps to the SELinux policy that the packages bring: `enforcing` refuses what it does not
    allow, `permissive` only tells of it, `disabled` loads none. The root is labelled while it is written; the kernel's
    command line gets what switches SELinux on, or off. Left out, nothing of it is touched."""
    services: ServicesTemplate | None = None
    """Which units start at boot. Done last, so it has the last word."""
    additional_files: list[FileTemplate] = []
    """Files and folders of the build host that are copied into the image. Of two for one place the later one counts."""
    configurations: list[ConfigurationTemplate] = []
    """Commands that run inside the image, in order."""


class RepositoryTemplate(Section):
    """A suite that the distribution's data knows. Repositories of others are not built yet."""

    codename: Annotated[str, AfterValidator(pattern(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,63}", "a suite's name"))]
    """The suite's name, such as `bookworm-backports`."""
    priority: Annotated[int, AfterValidator(rules.priority)] | None = None
    """How much its packages are preferred: others have 500, backports without this key 100 (only what nobody else has,
    or what is named with its version); the highest wins, then the newest version. Below 0 nothing is taken."""
    url: Later = None
    """Where another repository is."""
    path: Later = None
    """A folder of packages."""
    packages: Later = None
    """Packages by file or address."""
    pkey: Later = None
    """The key of another repository."""
    pkeys: Later = None
    """The keys of another repository."""
    component: Later = None
    """The components of another repository."""
    allow_packages: Later = None
    """The only packages to take from it."""
    insecure_skip_verify: LaterSwitch = False
    """Not to check certificates."""


class ImageTemplate(Section):
    """One file, or the merge of a chain of files."""

    extends: Later = None
    """A template to start from."""
    metadata: Metadata | None = None
    """For people and search; a build ignores it."""
    image: Image
    """What the image is called."""
    target: Target
    """What the image is made for."""
    baseline: Later = None
    """An image to start from."""
    overlay_policy: Later = None
    """What a build on top of a baseline may change."""
    disk: DiskTemplate | None = None
    """The disk's layout; replaces that of the OS default template as a whole, unless it names `artifacts` alone."""
    system_config: SystemTemplate | None = None
    """What is in the image."""
    package_repositories: list[RepositoryTemplate] = []
    """Suites of the distribution that a build reads only when it is told to, such as backports."""
    sbom_package_metadata: LaterList = None
    """What the bill of materials says of packages that do not say it themselves."""

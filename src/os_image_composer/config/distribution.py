"""What is known about one distribution on one architecture: provider data as values.

Everything that differs between distributions of a family stands in YAML under `config/osv`; these are its shapes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class RepositoryData:
    """A package repository. `mirror` names the entry of the settings' `mirrors` that replaces `url`;
    `priority` pins all its versions where it is given, else its own metadata decides;
    `fingerprints` are the pinned primary keys (40 hex digits), any of which must have signed; where there is none,
    the user has to pin one in the settings;
    `keyrings` are files of the build host that may hold them, `key_url` is where the vendor offers them;
    `signed_packages` is false where the vendor signs the metadata only, in a family whose packages can be signed. One
    that is not `enabled` is read for templates that name one of its suites."""

    name: str
    mirror: str
    url: str | None
    suites: tuple[str, ...]
    components: tuple[str, ...]
    fingerprints: tuple[str, ...]
    keyrings: tuple[Path, ...]
    priority: int | None
    key_url: str | None = None
    signed_packages: bool = True
    enabled: bool = True


@dataclass(frozen=True)
class PackagedFile:
    """A path in the image root, and the package that brings it."""

    path: str
    package: str


@dataclass(frozen=True)
class ReadOnlyRootData:
    """What the initrd of a root that cannot be written to takes beside others: `argv` is added to the generator's, and
    `verity_argv` where the root is sealed; `files` (name, text, whether it is a program) are put into the folder `into`
    for the generator to find; `cmdline` is added to the kernel's command line; `verified` are folders below /var that
    stay as the root has them. With `packages_known` an image without one of the packages of `needs` and
    `verity_needs` has not got its file; else their names are advice."""

    argv: tuple[str, ...]
    verity_argv: tuple[str, ...]
    into: str
    files: tuple[tuple[str, str, bool], ...]
    cmdline: str
    verified: tuple[str, ...]
    needs: tuple[PackagedFile, ...]
    verity_needs: tuple[PackagedFile, ...]
    packages_known: bool = False


@dataclass(frozen=True)
class InitrdData:
    """How the distribution makes an initrd. `argv` runs in the image root with `{kernel}` (the kernel's
    release) and `{output}` replaced; `configuration` are globs of the files of the OS configuration that it
    reads, and nothing else of that configuration can be seen while it runs. `dated_by` are paths in the image root:
    their date is given to what the generator makes, so they are made older than any clock before it runs."""

    argv: tuple[str, ...]
    extra_modules_option: str
    configuration: tuple[str, ...]
    dated_by: tuple[str, ...] = ()
    read_only_root: ReadOnlyRootData | None = None


@dataclass(frozen=True)
class InitrdModule:
    """What an initrd takes beside others': `argv` is added to the generator's, `files` (name, text, whether it is a
    program) are put into the folder `into` for it to find, for that one run."""

    argv: tuple[str, ...]
    into: str
    files: tuple[tuple[str, str, bool], ...]


@dataclass(frozen=True)
class LiveData(InitrdModule):
    """That of a live system; `signed` is what it takes further where one signed program starts every entry of the
    menu."""

    signed: InitrdModule | None = None


@dataclass(frozen=True)
class GrubPlatform:
    """`format` is what grub-mkimage calls it; `modules` the folder of its modules. `sbat` is an EFI program that the
    distribution built from the same source, whose revocation table (SBAT) is that of the modules."""

    format: str  # x86_64-efi | i386-pc
    modules: PackagedFile
    sbat: PackagedFile | None = None


@dataclass(frozen=True)
class GrubData:
    """The distribution's own GRUB: `mkimage` makes a program from a platform's modules."""

    mkimage: PackagedFile
    efi: GrubPlatform | None
    bios: GrubPlatform | None


@dataclass(frozen=True)
class VendorChain:
    """What the distribution's signer signed: shim, the boot loader that it starts under `loader_path`, a name that is
    built into it, and the key manager. Either the boot loader is GRUB, which starts signed kernels: then `config` is
    where on the EFI system partition it looks for its menu. Or it is systemd-boot, which starts unified kernel images
    that are signed as a whole: `uki` is a glob of these, whose `*` stands for the kernel's release."""

    shim: PackagedFile
    loader: PackagedFile
    key_manager: PackagedFile
    loader_path: str  # EFI/BOOT/grubx64.efi
    key_manager_path: str  # EFI/BOOT/mmx64.efi
    config: str | None = None  # EFI/debian/grub.cfg
    uki: PackagedFile | None = None

    @property
    def provider(self) -> str:
        return "systemd-boot" if self.uki else "grub"


@dataclass(frozen=True)
class BootData:
    """Where the boot files are in the image root: a glob for the kernel, the UKI stub, the boot loader, and
    the names that the firmware looks for on the EFI system partition. `loader_package` brings stub and boot loader;
    `bless` is the program that confirms a boot which is counted."""

    kernel: str
    modules: str
    stub: str
    loader: str
    removable_path: str  # EFI/BOOT/BOOTX64.EFI
    loader_package: str | None = None
    bless: PackagedFile | None = None
    grub: GrubData | None = None
    vendor: VendorChain | None = None


@dataclass(frozen=True)
class FirstBootFile:
    """A file that is written to `path` (absolute) when something in the image matches `when` (a glob): it makes on
    the machine what no image may carry, such as SSH host keys."""

    when: str
    path: str
    content: str


@dataclass(frozen=True)
class SelinuxData:
    """`packages` have the policy and what the running system needs for it; `on` and `off` are the words of the kernel's
    command line that switch SELinux on and off."""

    packages: tuple[str, ...] = ()
    on: tuple[str, ...] = ("security=selinux", "selinux=1")
    off: tuple[str, ...] = ("selinux=0",)


@dataclass(frozen=True)
class Distribution:
    """`held_back` are generators that maintainer scripts would start again and again: programs replaced by a
    no-op while packages are installed, run once as a step of their own. `leftovers` are globs of what
    installation leaves behind and an image must not carry. `purl_namespace` is the vendor's name in package URLs; None:
    the ID of the image's os-release(5). `squashfs` is the compression of one that its kernel reads."""

    os: str
    dist: str
    arch: str
    family: str
    release_version: str
    package_arch: str
    repositories: tuple[RepositoryData, ...]
    chroot_packages: tuple[str, ...]
    held_back: tuple[str, ...]
    environment: Mapping[str, str]
    initrd: InitrdData
    boot: BootData
    sudo_group: str
    leftovers: tuple[str, ...]
    first_boot: tuple[FirstBootFile, ...]
    purl_namespace: str | None
    selinux: SelinuxData
    live: LiveData | None = None
    squashfs: str = "zstd"


@dataclass(frozen=True)
class ImageTools:
    """The distribution whose packages the image tools come from, and which; `format_packages` are those that pack an
    image in another format."""

    os: str
    dist: str
    packages: tuple[str, ...]
    format_packages: tuple[str, ...]

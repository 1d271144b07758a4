"""What is known about an image file: the values that `inspect` gives. Offsets and sizes are bytes."""

from __future__ import annotations

from dataclasses import dataclass

from os_image_composer.formats.filesystem import Volume
from os_image_composer.formats.iso9660 import Medium
from os_image_composer.ospackage.inventory import InstalledPackage
from os_image_composer.report.selinux import SelinuxState


@dataclass(frozen=True)
class Part:
    """A partition, or a disk without a table. `type` is the name of a known type, else its GUID or number; `volume` is
    None where nothing known is in it."""

    number: int
    name: str
    type: str
    type_id: str
    uuid: str | None
    start: int
    size: int
    attributes: int
    volume: Volume | None


@dataclass(frozen=True)
class SectionInfo:
    name: str
    size: int
    sha256: str


@dataclass(frozen=True)
class ProgramSignature:
    """`signer` says who signed; `fault` why the signature does not hold, None where the program is what was signed.
    Whether a machine trusts the signer is not known here."""

    signer: str
    fault: str | None


@dataclass(frozen=True)
class EfiProgram:
    """A file of the EFI system partition that firmware can start. `kind` is uki, systemd-boot, grub, shim, mok-manager,
    linux (a kernel alone) or unknown; `signatures` has each signer; `text` are the readable
    sections of a UKI by name, such as `.cmdline`."""

    path: str
    kind: str
    version: str | None
    machine: str
    size: int
    sha256: str
    sections: tuple[SectionInfo, ...]
    signatures: tuple[ProgramSignature, ...]
    sbat: tuple[str, ...]
    text: dict[str, str]


@dataclass(frozen=True)
class SealedRoot:
    """A root hash that a UKI's command line names: `what` is root or usr; `data` and `tree` are numbers of partitions.
    `fault` is why they are not what was sealed, None where all of both is."""

    what: str
    program: str
    root_hash: str
    data: int | None
    tree: int | None
    fault: str | None


@dataclass(frozen=True)
class EspFile:
    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Account:
    """`password` is set, locked, or empty (anybody gets in); the hash is never read out."""

    name: str
    uid: int
    shell: str
    password: str


@dataclass(frozen=True)
class SbomFile:
    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Root:
    """The root filesystem. `partition` is its number; `family` is the package family, None where no database is
    known; `kernels` are releases with modules."""

    partition: int
    os_release: dict[str, str]
    hostname: str | None
    kernels: tuple[str, ...]
    accounts: tuple[Account, ...]
    family: str | None
    packages: tuple[InstalledPackage, ...]
    sboms: tuple[SbomFile, ...]
    selinux: SelinuxState | None


@dataclass(frozen=True)
class ImageInfo:
    """`stored` is what the file takes on its disk; `medium` is what an ISO is as a CD. `findings` say what is damaged
    or odd, in words."""

    file: str
    size: int
    stored: int
    table: str | None
    disk_uuid: str | None
    sector_size: int | None
    parts: tuple[Part, ...]
    esp_files: tuple[EspFile, ...]
    programs: tuple[EfiProgram, ...]
    sealed: tuple[SealedRoot, ...]
    root: Root | None
    medium: Medium | None
    findings: tuple[str, ...]

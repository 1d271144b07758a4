"""What every step of a build may use beside its inputs: the sandbox, verified package files, password hashes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Protocol

from os_image_composer.build.clock import Clock
from os_image_composer.chroot.sandbox import Sandbox
from os_image_composer.ospackage.lock import LockedPackage
from os_image_composer.signing.signer import Signer


@dataclass(frozen=True, order=True)
class PackageFile:
    """A package as a step's options name it: enough to tell one file from every other."""

    name: str
    version: str
    arch: str
    sha256: str

    @classmethod
    def of(cls, package: LockedPackage) -> PackageFile:
        return cls(package.name, package.version, package.arch, package.sha256)


class PackageContent(Protocol):
    """The files of one package as an uncompressed tar stream."""

    @property
    def name(self) -> str: ...
    def open(self) -> BinaryIO: ...


class Packages(Protocol):
    """Package files by their SHA-256: fetched when they are missing, verified before they are handed out."""

    def files(self, packages: Sequence[PackageFile]) -> Mapping[str, Path]:
        """By SHA-256, paths of verified files."""

    def contents(self, packages: Sequence[PackageFile]) -> Sequence[PackageContent]:
        """What the packages would unpack, in the order given."""


@dataclass(frozen=True)
class Services:
    """`password_hashes` and `host_files` map the SHA-256 that a step's options carry to the crypt(5) text, or to
    the file of the build host, that it stands for. `clock` is for telling what this build dated by it; nothing of it
    goes into a result. `signers` and `certificates` (DER) are by the SHA-256 of a certificate."""

    sandbox: Sandbox
    packages: Packages
    password_hashes: Mapping[str, str]
    host_files: Mapping[str, Path]
    clock: Clock
    signers: Mapping[str, Signer] = field(default_factory=dict)
    certificates: Mapping[str, bytes] = field(default_factory=dict)

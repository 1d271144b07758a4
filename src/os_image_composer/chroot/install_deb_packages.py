"""Package installation for the dpkg family.

dpkg unpacks, configures and writes its own database. Two things happen beside it, because a root without a shell
cannot run the first preinst: the Essential set is unpacked before dpkg installs it over itself (as mmdebstrap and
debootstrap do), and base-passwd's master files are put in place, which its own postinst would only do later.

The order of everything else, Pre-Depends included, is apt's: the chroot environment's apt gets exactly the locked
files by path, with no repository configured, and works on the root through `DPkg::Chroot-Directory`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from os_image_composer.build.step import Kind, Work
from os_image_composer.chroot.install_place import (
    HELD_BACK,
    PACKAGES,
    SCRIPT_PATH,
    expect_installed,
    hold_back,
    place_packages,
)
from os_image_composer.chroot.installer import Surroundings
from os_image_composer.chroot.job import (
    Bind,
    Edit,
    Job,
    MakeDirectory,
    MakeSymlink,
    MountedTree,
    Remove,
    Tree,
    WriteFile,
)
from os_image_composer.chroot.password_dates import date_passwords
from os_image_composer.chroot.services import PackageFile, Services
from os_image_composer.errors import StepError

_TARGET = "/target"

# Merged /usr: bookworm's and trixie's packages expect these links to be there before the first file is unpacked.
# lib64 is amd64's alone: its dynamic loader's name has it.
_MERGED_USR = ("bin", "lib", "sbin")
_MERGED_USR_OF = {"amd64": ("lib64",)}

# The environment has no sources and is thrown away afterwards, so apt's own lists, cache and log stay where they are.
_APT_OPTIONS = (
    "APT::Sandbox::User=root",
    "APT::Install-Recommends=false",
    "APT::Install-Suggests=false",
    "APT::Get::Assume-Yes=true",
    "Acquire::Languages=none",
    f"Dir::State::Status={_TARGET}/var/lib/dpkg/status",
    "Dir::State::extended_states=/tmp/extended_states",
    f"DPkg::Chroot-Directory={_TARGET}",
    f"DPkg::Path={SCRIPT_PATH}",
    "DPkg::Use-Pty=false",
    "DPkg::Options::=--force-unsafe-io",
    "DPkg::Options::=--force-confdef",
    "DPkg::Options::=--force-confold",
    "DPkg::Options::=--no-pager",
    "DPkg::Lock::Timeout=10",
)


@dataclass(frozen=True)
class InstallEssential:
    """The Essential set with all it depends on, into an empty root, by its own dpkg. There is no package manager to
    ask for an order yet, so all files are unpacked first and dpkg then installs them at once."""

    kind: ClassVar[str] = "install-essential"
    version: ClassVar[int] = 2
    result: ClassVar[Kind] = Kind.TREE

    packages: tuple[PackageFile, ...]
    surroundings: Surroundings

    def run(self, work: Work[Services]) -> None:
        installation = _Installation(work, Tree(upper=work.output), self.surroundings, self.packages)
        installation.start(self.packages)
        installation.dpkg(self.packages)
        installation.expect({p.name: p.version for p in self.packages})
        installation.tidy()


@dataclass(frozen=True)
class InstallEnvironment:
    """The chroot environment: the distribution's package manager on top of the Essential set, by its dpkg."""

    kind: ClassVar[str] = "install-environment"
    version: ClassVar[int] = 1
    result: ClassVar[Kind] = Kind.TREE

    packages: tuple[PackageFile, ...]
    surroundings: Surroundings

    def run(self, work: Work[Services]) -> None:
        with _added(work, self.surroundings, self.packages) as installation:
            installation.dpkg(self.packages)


@dataclass(frozen=True)
class InstallPackages:
    """One transaction onto the layers below, in the order of the chroot environment's apt."""

    kind: ClassVar[str] = "install-packages"
    version: ClassVar[int] = 1
    result: ClassVar[Kind] = Kind.TREE

    packages: tuple[PackageFile, ...]
    surroundings: Surroundings

    def run(self, work: Work[Services]) -> None:
        with _added(work, self.surroundings, self.packages) as installation:
            installation.apt(Tree(work.all("chroot")), self.packages)


class _Installation:
    """The state of one installation: where the files are, what the scripts see."""

    def __init__(
        self, work: Work[Services], tree: Tree, surroundings: Surroundings, packages: Sequence[PackageFile]
    ) -> None:
        self.work = work
        self.tree = tree
        self.surroundings = surroundings
        self.sandbox = work.services.sandbox
        self.folder = place_packages(work, packages, _file_name)
        self.held_back = hold_back(work, surroundings.held_back)
        self.policy = work.scratch / "policy-rc.d"
        self.env = {**surroundings.env(), "PATH": SCRIPT_PATH}
        # 101: "action forbidden by policy", the documented way to keep invoke-rc.d from starting services.
        self.policy.write_text("#!/bin/sh\nexit 101\n")
        self.policy.chmod(0o755)

    def start(self, base: Sequence[PackageFile]) -> None:
        """Put the files of `base` into the empty root and give dpkg an empty database."""
        links: list[Edit] = []
        for name in (*_MERGED_USR, *_MERGED_USR_OF.get(self.surroundings.package_arch, ())):
            links += [MakeDirectory(f"/usr/{name}"), MakeSymlink(f"/{name}", f"usr/{name}")]
        self.sandbox.edit(self.tree, links)
        self.sandbox.unpack(self.work.output, self.work.services.packages.contents(base))
        masters = {f"usr/share/base-passwd/{name}.master": f"/etc/{name}" for name in ("passwd", "group")}
        found = self.sandbox.read(self.tree, list(masters))
        edits: list[Edit] = [WriteFile(masters[path], content) for path, content in found.items()]
        edits += [MakeDirectory("/var/lib/dpkg/info"), MakeDirectory("/var/lib/dpkg/updates")]
        edits.append(WriteFile("/var/lib/dpkg/status", b""))
        edits += [WriteFile("/var/lib/dpkg/arch", f"{self.surroundings.package_arch}\n".encode())]
        self.sandbox.edit(self.tree, edits)

    def dpkg(self, packages: Sequence[PackageFile]) -> None:
        """dpkg installs `packages` over their own files. Dependencies are not asked about: all are there."""
        names = [f"{PACKAGES}/{_file_name(p)}" for p in packages]
        options = ("--force-depends", "--force-unsafe-io", "--force-confold", "--no-pager")
        self._run(("dpkg", *options, "--install", *names), self.tree, "")

    def apt(self, environment: Tree, packages: Sequence[PackageFile]) -> None:
        """apt orders and installs exactly the files of `packages`."""
        names = [f"{_TARGET}{PACKAGES}/{_file_name(p)}" for p in packages]
        options = [part for option in _APT_OPTIONS for part in ("-o", option)]
        architecture = ("-o", f"APT::Architecture={self.surroundings.package_arch}")
        self._run(("apt-get", "-q", *options, *architecture, "install", *names), environment, _TARGET)

    def installed(self) -> dict[str, str]:
        """Versions by name, as dpkg's database has them. Raises StepError where a package is not fully installed."""
        query = ("dpkg-query", "--show", "--showformat", "${Package}\t${Version}\t${db:Status-Status}\n")
        done = self.sandbox.run(Job(self.tree, query, env=self.env))
        if done.status:
            raise StepError("package-database", "the package database cannot be read", detail=done.tail())
        rows = [line.split("\t") for line in done.output.decode().splitlines()]
        half = [name for name, _, status in rows if status != "installed"]
        if half:
            raise StepError("package-half-installed", f"packages are not fully installed: {', '.join(half)}")
        return {name: version for name, version, _ in rows}

    def expect(self, wanted: Mapping[str, str]) -> None:
        """Raises StepError unless exactly `wanted` is installed."""
        expect_installed(self.installed(), wanted)

    def tidy(self) -> None:
        date_passwords(self.sandbox, self.tree, self.surroundings.source_date_epoch, self.work.services.clock)
        self.sandbox.edit(self.tree, [Remove(pattern) for pattern in self.surroundings.leftovers])

    def _run(self, argv: tuple[str, ...], root: Tree, target: str) -> None:
        around = (
            Bind(self.folder, f"{target}{PACKAGES}"),
            Bind(self.held_back, f"{target}{HELD_BACK}"),
            Bind(self.policy, f"{target}/usr/sbin/policy-rc.d"),
        )
        mounts = (MountedTree(self.tree, target, api=True), *around) if target else around
        done = self.sandbox.run(Job(root, argv, mounts, env=self.env), self.work.say)
        if done.status:
            raise StepError(
                "package-installation",
                f"{argv[0]} could not install the packages (exit status {done.status})",
                detail=done.tail(40),
                hint="the first error above names the package and the script",
            )


@contextlib.contextmanager
def _added(
    work: Work[Services], surroundings: Surroundings, packages: Sequence[PackageFile]
) -> Iterator[_Installation]:
    """An installation onto the layers below. Raises StepError unless afterwards exactly `packages` were added."""
    installation = _Installation(work, Tree(work.all("lower"), work.output), surroundings, packages)
    before = installation.installed()
    yield installation
    installation.expect({**before, **{p.name: p.version for p in packages}})
    installation.tidy()


def _file_name(package: PackageFile) -> str:
    version = package.version.replace(":", "%3a")
    return f"{package.name}_{version}_{package.arch}.deb"

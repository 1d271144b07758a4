"""One transaction of the rpm family.

rpm orders, unpacks, runs scriptlets and triggers, and writes its own database; it gets exactly the locked files,
sorted, and works on the root through `--root`. Signatures were checked before, against the keys pinned for each
package's repository, so rpm is asked for digests only: it knows no keys.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Iterable, Mapping
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
from os_image_composer.chroot.job import Bind, Completed, Edit, Job, MakeDirectory, Mount, MountedTree, Remove, Tree
from os_image_composer.chroot.password_dates import date_passwords
from os_image_composer.chroot.services import PackageFile, Services
from os_image_composer.errors import StepError

_TARGET = "/target"
_RPM = ("rpm", "--root", _TARGET)
_OPTIONS = (
    *("--define", f"_install_script_path {SCRIPT_PATH}"),
    "--nosignature",
    # The kernel refuses to change the owner of these mounts; what packages have there, rpm takes for somebody else's.
    *("--define", "_netsharedpath /proc:/sys"),
    # Plugins speak to services of a running system: systemd's inhibitor, the audit log, SELinux.
    "--noplugins",
)
# `Epoch: 0` and no epoch are the same version.
_QUERY = "%{NAME}.%{ARCH}\\t%|EPOCH?{%{EPOCH}:}:{}|%{VERSION}-%{RELEASE}\\n"
_KEY = "gpg-pubkey."  # a key that a scriptlet imported is kept like a package, of no architecture
# The kernel's filesystems and those in memory are mounted while rpm runs, so the root does not get what packages say
# of these directories; modes as everywhere.
_MOUNTED = {"/proc": 0o555, "/sys": 0o555, "/dev": 0o755, "/run": 0o755, "/tmp": 0o1777}  # noqa: S108
# "error: %prein(name-1.0-1.noarch) scriptlet failed, exit status 1", "warning: %post(…) scriptlet failed, signal 9"
_SCRIPTLET = re.compile(
    r"^(?P<level>error|warning): (?P<what>%\w+)\((?P<package>[^)]+)\) scriptlet failed, (?P<how>.+)$"
)
# Of what is written in Lua rpm says "error" whatever follows from it:
# 'error: lua script failed: [string "%prein(name-1.0-1.noarch)"]:1: what went wrong'
_LUA = re.compile(r'^error: lua script failed: \[string "(?P<what>%\w+)\((?P<package>[^)]+)\)"\]:(?P<how>.+)$')
# rpm reckons before it begins: "installing package name-1.0-1.noarch needs 12MB more space on the / filesystem"
_NO_ROOM = re.compile(r"^\s*installing package \S+ needs \S+ more (?:space|inodes) on the \S+ filesystem$", re.M)
_STOPPING = ("%pretrans", "%prein")  # without these a package is not installed


@dataclass(frozen=True)
class InstallTransaction:
    """`packages` in one transaction onto the layers of role `lower`, none of them for an empty root, by the package
    manager of role `chroot`."""

    kind: ClassVar[str] = "install-transaction"
    version: ClassVar[int] = 1
    result: ClassVar[Kind] = Kind.TREE

    packages: tuple[PackageFile, ...]
    surroundings: Surroundings

    def run(self, work: Work[Services]) -> None:
        installation = _Installation(work, self.surroundings)
        before = installation.installed() if work.all("lower") else {}
        if not work.all("lower"):
            work.services.sandbox.edit(installation.tree, [MakeDirectory(p, m) for p, m in _MOUNTED.items()])
        installation.install(self.packages)
        added = {f"{p.name}.{p.arch}": p.version for p in self.packages}
        expect_installed(installation.installed(), {**before, **added})
        installation.tidy()


class _Installation:
    """The root that is installed into, and what the scriptlets see."""

    def __init__(self, work: Work[Services], surroundings: Surroundings) -> None:
        self.work = work
        self.surroundings = surroundings
        self.sandbox = work.services.sandbox
        self.tree = Tree(work.all("lower"), work.output)
        self.held_back = hold_back(work, surroundings.held_back)

    def install(self, packages: Iterable[PackageFile]) -> None:
        """Raises StepError that names the package and the scriptlet; what only warns in rpm is said."""
        files = list(packages)
        folder = place_packages(self.work, files, _file_name)
        paths = [f"{PACKAGES}/{_file_name(p)}" for p in files]
        argv = (*_RPM, *_OPTIONS, "--install", "--verbose", *paths)
        done = self._run(argv, self.work.say, Bind(folder, PACKAGES))
        failed = _failed_scriptlets(done)
        if done.status:
            fatal = [text for level, text in failed if level == "error"]
            no_room = _NO_ROOM.search(done.output.decode("utf-8", "replace"))
            raise StepError(
                "package-installation",
                fatal[0] if fatal else f"the packages could not be installed (exit status {done.status})",
                cause=os.strerror(errno.ENOSPC) if no_room else None,
                detail=done.tail(40),
                hint=None if fatal else "the first error above names the package",
            )
        for _, text in failed:
            self.work.say(f"warning: {text}; its package stays installed, as rpm has it")

    def installed(self) -> dict[str, str]:
        """Versions by name and architecture, as the root's database has them."""
        done = self._run((*_RPM, "--query", "--all", "--queryformat", _QUERY), lambda line: None)
        if done.status:
            raise StepError("package-database", "the package database cannot be read", detail=done.tail())
        rows = [line.split("\t") for line in done.output.decode().splitlines() if "\t" in line]
        return {name: version.removeprefix("0:") for name, version in rows if not name.startswith(_KEY)}

    def tidy(self) -> None:
        date_passwords(self.sandbox, self.tree, self.surroundings.source_date_epoch, self.work.services.clock)
        edits: list[Edit] = [Remove(pattern) for pattern in self.surroundings.leftovers]
        self.sandbox.edit(self.tree, edits)

    def _run(self, argv: tuple[str, ...], hear: Callable[[str], None], *binds: Bind) -> Completed:
        mounts: tuple[Mount, ...] = (
            *binds,
            MountedTree(self.tree, _TARGET, api=True),
            Bind(self.held_back, f"{_TARGET}{HELD_BACK}"),
        )
        environment: Mapping[str, str] = {**self.surroundings.env(), "PATH": SCRIPT_PATH}
        return self.sandbox.run(Job(Tree(self.work.all("chroot")), argv, mounts, env=environment), hear)


def _failed_scriptlets(done: Completed) -> list[tuple[str, str]]:
    """Level and a sentence for each."""
    found = []
    for line in done.output.decode("utf-8", "replace").splitlines():
        if told := _SCRIPTLET.match(line):
            found.append((told["level"], f"{told['what']} of {told['package']} failed: {told['how']}"))
        elif told := _LUA.match(line):
            level = "error" if told["what"] in _STOPPING else "warning"
            found.append((level, f"{told['what']} of {told['package']} failed: line {told['how']}"))
    return found


def _file_name(package: PackageFile) -> str:
    # Without an epoch, as repositories name files.
    version = package.version.partition(":")[2] or package.version
    return f"{package.name}-{version}.{package.arch}.rpm"

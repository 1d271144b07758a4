"""A release's own apt as the judge of a package set: what it would install on an empty system.

apt and what it needs are unpacked into a folder, none of their scripts is run, and `apt-get` runs there in the sandbox
with a configuration, lists and an empty status of its own. It verifies with the repositories' keyrings.
"""

from __future__ import annotations

import functools
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

from os_image_composer.build.clock import SystemClock
from os_image_composer.build.events import silent
from os_image_composer.chroot.job import Bind, Edit, Job, MakeDirectory, MakeSymlink, Tree, WriteFile
from os_image_composer.chroot.sandbox import Sandbox
from os_image_composer.chroot.services import PackageFile
from os_image_composer.config.spec import PackageGroup
from os_image_composer.ospackage.cache import PackageCache
from os_image_composer.ospackage.deb.candidates import Available
from os_image_composer.ospackage.deb.packages import SuiteIndex
from os_image_composer.ospackage.deb.resolver import DebResolver
from os_image_composer.ospackage.deb.suite import read_suite
from os_image_composer.ospackage.family import family_for
from os_image_composer.ospackage.lock import Lock
from os_image_composer.ospackage.openpgp import Keyring, load_keyring
from os_image_composer.ospackage.resolve import Repository, SetRequest
from os_image_composer.ospackage.transport import HttpTransport
from os_image_composer.provider.packages import LockedPackages, Source

RunApt = Callable[[Sequence[str]], tuple[int, str]]
_URI = re.compile(r"^'[^']+' ([^_ ]+)_([^_ ]+)_[^_ ]+\.deb ", re.MULTILINE)
_APT_KEY = ("coreutils", "dash", "findutils", "gpgv", "grep", "sed")  # what the script that checked for apt < 2.9 runs
_SEEN_AS = Path("/run/oracle")


class AptRefusedError(Exception):
    """apt ended with an error; the text is its output."""


def apts_choice(run_apt: RunApt, requests: Sequence[str], options: Sequence[str] = ()) -> Mapping[str, str]:
    """Versions by name that apt would install beside the Essential packages. Raises AptRefusedError.

    `--print-uris` ends where apt would start to download: the choice is that of `-s install`, which takes five times
    as long because it goes on to simulate every script."""
    command = ("install", "-qq", "--print-uris", "--no-install-recommends", *options, "?essential", *requests)
    status, output = run_apt(command)
    if status:
        raise AptRefusedError(output)
    return {name: unquote(version) for name, version in _URI.findall(output)}


def apt_of(folder: Path, repositories: Sequence[Repository], arch: str, sandbox: Sandbox, root: Tree) -> RunApt:
    """Runs `apt-get` of a tree and gives its status and output; `folder` takes its configuration and lists."""
    _configure(folder, repositories, arch)
    host = [Bind(path, str(path)) for path in (Path("/etc/resolv.conf"), Path("/etc/ssl/certs")) if path.exists()]
    mounts = (Bind(folder, str(_SEEN_AS), read_only=False), *host)

    def run(arguments: Sequence[str]) -> tuple[int, str]:
        env = {"APT_CONFIG": str(_SEEN_AS / "apt.conf")}
        done = sandbox.run(Job(root, ("apt-get", *arguments), mounts, env=env, network=True))
        return done.status, done.output.decode()

    status, output = run(["update"])
    assert status == 0, output
    return run


def pinned(folder: Path, suite: str, priority: int) -> tuple[str, ...]:
    """Options that pin a suite for one run of the apt whose `folder` this is."""
    name = f"pin-{suite}-{priority}"
    (folder / "etc" / name).write_text(f"Package: *\nPin: release n={suite}\nPin-Priority: {priority}\n")
    return ("-o", f"Dir::Etc::preferences={_SEEN_AS}/etc/{name}")


def unpack_apt(into: Path, repositories: Sequence[Repository], arch: str, sandbox: Sandbox, cache: Path) -> Tree:
    """The release's apt with all it needs, unpacked. `cache` is for metadata and packages."""
    clock = SystemClock()
    with HttpTransport() as transport:
        resolver = DebResolver(transport, cache / "metadata", clock, silent)
        request = SetRequest("apt", (PackageGroup("apt", ("apt", "base-files", "dpkg", *_APT_KEY)),), essential=False)
        found = resolver.resolve(repositories, arch, [request])
        lock = Lock("debian", "any", arch, "", found.source_date_epoch, found.repositories, found.sets)
        sources = {r.name: Source(family_for("deb"), r, functools.partial(_keyring, r)) for r in repositories}
        packages = LockedPackages(lock, sources, PackageCache(cache / "packages"), transport, silent, 4)
        sandbox.new_layer(into)
        merged: list[Edit] = []
        for name in ("bin", "lib", "lib64", "sbin"):
            merged += [MakeDirectory(f"/usr/{name}"), MakeSymlink(f"/{name}", f"usr/{name}")]
        sandbox.edit(Tree(upper=into), merged)
        sandbox.unpack(into, packages.contents([PackageFile.of(p) for p in found.sets["apt"].packages()]))
        edits: list[Edit] = [
            WriteFile("/etc/resolv.conf", b""),
            MakeDirectory("/etc/ssl/certs"),
            MakeDirectory(str(_SEEN_AS)),
        ]
        sandbox.edit(Tree(upper=into), edits)
    return Tree((into,))


def _keyring(repository: Repository) -> Keyring:
    return load_keyring(repository.name, repository.fingerprints, repository.keyrings, SystemClock().now())


def available(repositories: Sequence[Repository], arch: str, metadata: Path, pins: Mapping[str, int]) -> Available:
    """What we choose from; `pins` are priorities of suites that differ from their repository's."""
    indexes: list[SuiteIndex] = []
    names: list[str] = []
    with HttpTransport() as transport:
        for repository in repositories:
            for suite in repository.suites:
                pin = pins.get(suite, repository.priority)
                read = read_suite(
                    replace(repository, priority=pin), suite, arch, metadata, transport, SystemClock(), silent
                )
                indexes += read.indexes
                names.append(read.locked.name)
    return Available(indexes, names, arch)


def _configure(folder: Path, repositories: Sequence[Repository], arch: str) -> None:
    for name in ("etc/apt.conf.d", "etc/preferences.d", "etc/sources.list.d", "etc/trusted.gpg.d"):
        (folder / name).mkdir(parents=True)
    (folder / "state/lists/partial").mkdir(parents=True)
    (folder / "cache/archives/partial").mkdir(parents=True)
    (folder / "status").touch()
    lines = []
    for repository in repositories:
        keyring = next(k for k in repository.keyrings if k.exists())
        shutil.copyfile(keyring, folder / "etc" / keyring.name)
        for suite in repository.suites:
            components = " ".join(repository.components)
            signed_by = _SEEN_AS / "etc" / keyring.name
            lines.append(f"deb [signed-by={signed_by}] {repository.urls[0]} {suite} {components}\n")
    (folder / "etc/sources.list").write_text("".join(lines))
    (folder / "apt.conf").write_text(
        f'Dir::Etc "{_SEEN_AS}/etc"; Dir::State "{_SEEN_AS}/state"; Dir::Cache "{_SEEN_AS}/cache";\n'
        f'Dir::State::status "{_SEEN_AS}/status"; Acquire::Languages "none"; APT::Sandbox::User "root";\n'
        f'APT::Architecture "{arch}"; APT::Architectures "{arch}"; Debug::NoLocking "true";\n'
    )

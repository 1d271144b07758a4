"""apt itself as the judge of a package set: what it would install on an empty system.

Any apt will do that can read the suite's metadata, in a chroot or on the host; it is handed in as a callable that runs
`apt-get` with arguments and gives its output.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from os_image_composer.chroot.job import Bind, Job, Tree
from os_image_composer.chroot.sandbox import Sandbox
from os_image_composer.ospackage.resolve import Repository

RunApt = Callable[[Sequence[str]], str]
_INSTALL = re.compile(r"^Inst (\S+) \((\S+)", re.MULTILINE)


def apts_choice(run_apt: RunApt, requests: Sequence[str]) -> Mapping[str, str]:
    """Versions by name that apt would install beside the Essential packages."""
    output = run_apt(["-s", "install", "--no-install-recommends", "?essential", *requests])
    return dict(_INSTALL.findall(output))


def host_apt(folder: Path, repositories: Sequence[Repository], arch: str) -> RunApt:
    """The host's apt with a configuration, lists and an empty status of its own below `folder`; it verifies with the
    repositories' keyrings. Raises CalledProcessError where it fails."""
    _configure(folder, folder, repositories, arch)

    def run(arguments: Sequence[str]) -> str:
        environment = {**os.environ, "APT_CONFIG": str(folder / "apt.conf"), "LC_ALL": "C.UTF-8"}
        return subprocess.run(
            ["apt-get", *arguments], env=environment, check=True, capture_output=True, text=True
        ).stdout

    run(["update"])
    return run


def target_apt(folder: Path, repositories: Sequence[Repository], arch: str, sandbox: Sandbox, root: Tree) -> RunApt:
    """The apt of a chroot environment, in the sandbox with network; else as `host_apt`."""
    seen_as = Path("/run/oracle")
    _configure(folder, seen_as, repositories, arch)
    host = [Bind(path, str(path)) for path in (Path("/etc/resolv.conf"), Path("/etc/ssl/certs")) if path.exists()]
    mounts = (Bind(folder, str(seen_as), read_only=False), *host)

    def run(arguments: Sequence[str]) -> str:
        env = {"APT_CONFIG": str(seen_as / "apt.conf")}
        done = sandbox.run(Job(root, ("apt-get", *arguments), mounts, env=env, network=True))
        assert done.status == 0, done.output.decode()
        return done.output.decode()

    run(["update"])
    return run


def _configure(folder: Path, seen_as: Path, repositories: Sequence[Repository], arch: str) -> None:
    """Write apt's configuration to `folder`, which apt will see as `seen_as`."""
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
            signed_by = seen_as / "etc" / keyring.name
            lines.append(f"deb [signed-by={signed_by}] {repository.url} {suite} {components}\n")
    (folder / "etc/sources.list").write_text("".join(lines))
    (folder / "apt.conf").write_text(
        f'Dir::Etc "{seen_as}/etc"; Dir::State "{seen_as}/state"; Dir::Cache "{seen_as}/cache";\n'
        f'Dir::State::status "{seen_as}/status"; Acquire::Languages "none"; APT::Sandbox::User "root";\n'
        f'APT::Architecture "{arch}"; APT::Architectures "{arch}";\n'
    )

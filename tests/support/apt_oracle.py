"""apt itself as the judge of a package set: what it would install on an empty system.

Any apt will do that can read the suite's metadata, in a chroot or on the host; it is handed in as a callable that runs
`apt-get` with arguments and gives its output.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

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
    for name in ("etc/apt.conf.d", "etc/preferences.d", "etc/sources.list.d", "etc/trusted.gpg.d"):
        (folder / name).mkdir(parents=True)
    (folder / "state/lists/partial").mkdir(parents=True)
    (folder / "cache/archives/partial").mkdir(parents=True)
    (folder / "status").touch()
    lines = []
    for repository in repositories:
        keyring = next(k for k in repository.keyrings if k.exists())
        for suite in repository.suites:
            components = " ".join(repository.components)
            lines.append(f"deb [signed-by={keyring}] {repository.url} {suite} {components}\n")
    (folder / "etc/sources.list").write_text("".join(lines))
    (folder / "apt.conf").write_text(
        f'Dir::Etc "{folder}/etc"; Dir::State "{folder}/state"; Dir::Cache "{folder}/cache";\n'
        f'Dir::State::status "{folder}/status"; Acquire::Languages "none"; APT::Sandbox::User "root";\n'
        f'APT::Architecture "{arch}"; APT::Architectures "{arch}";\n'
    )

    def run(arguments: Sequence[str]) -> str:
        environment = {**os.environ, "APT_CONFIG": str(folder / "apt.conf"), "LC_ALL": "C.UTF-8"}
        return subprocess.run(
            ["apt-get", *arguments], env=environment, check=True, capture_output=True, text=True
        ).stdout

    run(["update"])
    return run

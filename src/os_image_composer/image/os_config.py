"""ImageOs: what makes an installed root this image: host name, fstab, files, users, commands.

It is a layer of its own on top of the packages, so a changed host name costs this layer and the disk.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import ClassVar

from os_image_composer.build.step import Kind, Work
from os_image_composer.chroot.job import Edit, Job, MakeDirectory, Remove, Tree, WriteFile
from os_image_composer.chroot.services import Services
from os_image_composer.config.distribution import FirstBootFile
from os_image_composer.errors import StepError
from os_image_composer.image.accounts import Account, create_accounts


@dataclass(frozen=True)
class PlacedFile:
    """A file of the build host by its content; the services know where it lies. `mode` is 0644 or, for what its
    owner may execute, 0755: the rest of a checkout's modes follows the umask of whoever made it."""

    final: str
    sha256: str
    mode: int


@dataclass(frozen=True)
class ConfigureOs:
    """`mount_points` are made so that fstab finds them; `leftovers` (globs) are what no image may carry; `first_boot`
    says what makes them anew on the machine."""

    kind: ClassVar[str] = "configure-os"
    version: ClassVar[int] = 1
    result: ClassVar[Kind] = Kind.TREE

    hostname: str | None
    fstab: str
    mount_points: tuple[str, ...]
    files: tuple[PlacedFile, ...]
    accounts: tuple[Account, ...]
    commands: tuple[str, ...]
    leftovers: tuple[str, ...]
    first_boot: tuple[FirstBootFile, ...]
    environment: tuple[tuple[str, str], ...]
    source_date_epoch: int

    def run(self, work: Work[Services]) -> None:
        sandbox = work.services.sandbox
        tree = Tree(work.all("lower"), work.output)
        sandbox.edit(tree, [*self._basics(), *self._files(work.services)])
        env = {**dict(self.environment), "SOURCE_DATE_EPOCH": str(self.source_date_epoch)}
        create_accounts(sandbox, tree, self.accounts, work.services.password_hashes, env, work.say)
        for number, command in enumerate(self.commands):
            work.say(f"+ {command}")
            # SYSTEMD_OFFLINE: `systemctl enable` must not look for a running manager.
            job = Job(tree, ("/bin/bash", "-c", command), env={**env, "SYSTEMD_OFFLINE": "1"})
            done = sandbox.run(job, work.say)
            if done.status:
                raise StepError(
                    "configuration-failed",
                    f"a command of systemConfig.configurations failed with exit status {done.status}: {command}",
                    detail=done.tail(),
                    key=f"systemConfig.configurations[{number}].cmd",
                )
        first_boot = [
            WriteFile(file.path, file.content.encode()) for file in self.first_boot if sandbox.glob(tree, file.when)
        ]
        # An empty machine-id is filled at boot and kept from then on (machine-id(5)); a made one would be shared.
        machine_id = WriteFile("/etc/machine-id", b"", mode=0o444)
        sandbox.edit(tree, [*first_boot, *(Remove(pattern) for pattern in self.leftovers), machine_id])

    def _basics(self) -> list[Edit]:
        edits: list[Edit] = [WriteFile("/etc/fstab", self.fstab.encode())]
        edits += [MakeDirectory(path) for path in self.mount_points]
        if self.hostname is not None:
            hosts = f"127.0.0.1\tlocalhost\n127.0.1.1\t{self.hostname}\n::1\tlocalhost ip6-localhost ip6-loopback\n"
            edits.append(WriteFile("/etc/hostname", f"{self.hostname}\n".encode()))
            edits.append(WriteFile("/etc/hosts", hosts.encode()))
        return edits

    def _files(self, services: Services) -> list[Edit]:
        edits: list[Edit] = []
        for placed in self.files:
            source = services.host_files[placed.sha256]
            content = source.read_bytes()
            if hashlib.sha256(content).hexdigest() != placed.sha256:
                raise StepError(
                    "additional-file-changed",
                    f"{source} changed while the image was built",
                    hint="start the build again",
                )
            edits.append(WriteFile(placed.final, content, placed.mode))
        return edits

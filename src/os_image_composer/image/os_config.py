"""ImageOs: what makes an installed root this image: host name, fstab, users, files, network, services …

It is a layer of its own on top of the packages, so a changed host name costs this layer and the disk.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from os_image_composer.build.step import Kind, Work
from os_image_composer.chroot.job import Edit, Job, MakeDirectory, Tree, WriteFile
from os_image_composer.chroot.password_dates import date_passwords
from os_image_composer.chroot.services import Services
from os_image_composer.config.distribution import FirstBootFile
from os_image_composer.config.spec import Keyboard, Network
from os_image_composer.errors import StepError
from os_image_composer.image.accounts import Account, AccountGroup, create_accounts
from os_image_composer.image.keyboard import set_keyboard
from os_image_composer.image.localization import set_locale, set_timezone
from os_image_composer.image.network import set_network
from os_image_composer.image.placed_files import PlacedFile, belongs_to_accounts, place_files, sweep
from os_image_composer.image.selinux import Selinux, set_selinux
from os_image_composer.image.units import UnitStates, set_units


@dataclass(frozen=True)
class ConfigureOs:
    """`mount_points` are made so that fstab finds them; `leftovers` (globs) are what no image may carry; `first_boot`
    says what makes them anew on the machine."""

    kind: ClassVar[str] = "configure-os"
    version: ClassVar[int] = 3
    result: ClassVar[Kind] = Kind.TREE

    hostname: str | None
    timezone: str | None
    locale: str | None
    keyboard: Keyboard | None
    fstab: str
    mount_points: tuple[str, ...]
    files: tuple[PlacedFile, ...]
    groups: tuple[AccountGroup, ...]
    accounts: tuple[Account, ...]
    network: Network | None
    commands: tuple[str, ...]
    selinux: Selinux | None
    units: UnitStates
    leftovers: tuple[str, ...]
    first_boot: tuple[FirstBootFile, ...]
    environment: tuple[tuple[str, str], ...]
    source_date_epoch: int

    def run(self, work: Work[Services]) -> None:
        services, sandbox = work.services, work.services.sandbox
        tree = Tree(work.all("lower"), work.output)
        env = {**dict(self.environment), "SOURCE_DATE_EPOCH": str(self.source_date_epoch)}
        homes = [account.home or f"/home/{account.name}" for account in self.accounts]
        files = list(enumerate(self.files))
        later = [(number, file) for number, file in files if belongs_to_accounts(file, homes)]
        sandbox.edit(tree, self._basics())
        # Before the users: a file may be one that their making reads, such as those of /etc/skel.
        place_files(services, tree, [entry for entry in files if entry not in later])
        create_accounts(sandbox, tree, self.groups, self.accounts, services.password_hashes, env, work.say)
        place_files(services, tree, later)
        if self.timezone is not None:
            set_timezone(sandbox, tree, self.timezone)
        if self.locale is not None:
            set_locale(sandbox, tree, self.locale, env, work.say)
        if self.keyboard is not None:
            set_keyboard(sandbox, tree, self.keyboard, env, work.say)
        if self.network is not None:
            set_network(sandbox, tree, self.network, env, work.say)
        self._commands(work, tree, env)
        # After the commands, which may bring a policy.
        if self.selinux is not None:
            set_selinux(sandbox, tree, self.selinux)
        # After the commands, which may bring units of their own.
        set_units(sandbox, tree, self.units, env, work.say)
        self._finish(work, tree)

    def _basics(self) -> list[Edit]:
        edits: list[Edit] = [WriteFile("/etc/fstab", self.fstab.encode())]
        edits += [MakeDirectory(path) for path in self.mount_points]
        if self.hostname is not None:
            short = self.hostname.partition(".")[0]
            names = self.hostname if short == self.hostname else f"{self.hostname} {short}"
            hosts = f"127.0.0.1\tlocalhost\n127.0.1.1\t{names}\n::1\tlocalhost ip6-localhost ip6-loopback\n"
            edits.append(WriteFile("/etc/hostname", f"{self.hostname}\n".encode()))
            edits.append(WriteFile("/etc/hosts", hosts.encode()))
        return edits

    def _commands(self, work: Work[Services], tree: Tree, env: Mapping[str, str]) -> None:
        """Each with its output and exit status in the step's log."""
        for number, command in enumerate(self.commands):
            work.say(f"+ {command}")
            # SYSTEMD_OFFLINE: `systemctl enable` must not look for a running manager.
            job = Job(tree, ("/bin/bash", "-c", command), env={**env, "SYSTEMD_OFFLINE": "1"})
            done = work.services.sandbox.run(job, work.say)
            work.say(f"= exit status {done.status}")
            if done.status:
                raise StepError(
                    "configuration-failed",
                    f"a command of systemConfig.configurations failed with exit status {done.status}: {command}",
                    detail=done.tail() or ("it printed nothing",),
                    key=f"systemConfig.configurations[{number}].cmd",
                )

    def _finish(self, work: Work[Services], tree: Tree) -> None:
        sandbox, own = work.services.sandbox, {file.final for file in self.files}
        if "/etc/shadow" not in own:
            date_passwords(sandbox, tree, self.source_date_epoch, work.services.clock)
        edits: list[Edit] = [
            WriteFile(file.path, file.content.encode())
            for file in self.first_boot
            if file.path not in own and sandbox.glob(tree, file.when)
        ]
        sandbox.edit(tree, edits)
        sweep(sandbox, tree, self.leftovers, own)
        # An empty machine-id is filled at boot and kept from then on (machine-id(5)); a made one would be shared.
        sandbox.edit(tree, [WriteFile("/etc/machine-id", b"", mode=0o444)])

"""Which change makes which steps run again, and no others: one row a change.

A row names the steps whose own work the change is: their options, their code, or what they start from. What starts from
these may run again; that is `AFTER`. Every other step keeps its id. Nothing is built here: `tests/e2e/test_rebuild.py`
does that for some of the rows. Which steps a module's code is part of is in `test_code_of_steps.py`.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import pytest

from os_image_composer.build.execute import forecast
from os_image_composer.build.plan import Plan, PlannedStep, make_plan
from os_image_composer.build.shelf import Shelf
from os_image_composer.build.store import Store
from os_image_composer.config.distribution import (
    BootData,
    Distribution,
    FirstBootFile,
    ImageTools,
    InitrdData,
    ReadOnlyRootData,
    SelinuxData,
)
from os_image_composer.config.reference import Shape, sections
from os_image_composer.config.template import ImageTemplate
from os_image_composer.ospackage.lock import Lock, LockedPackage, LockedRepository, PackageSet
from support.boot_keys import KeyFolder
from support.deb_repository import deb
from support.planning import ChangeLock, filled, planned
from support.small_archive import small_archive
from support.small_data import Described

# What starts from a step's result, directly or not.
_DISK = {"block-map", "pack:vmdk", "pack:vmdk.gz"}
_TREE = {"labels", "disk", "pack:tar", *_DISK}
_SIGNED = {"sign-boot", "disk", *_DISK}
_CONFIGURED = {"initrd-configuration", "initrd", "boot", "sbom", *_SIGNED, *_TREE}
_LAYERED = {"os-configuration", "licences", *_CONFIGURED}
AFTER = {
    "deb": {
        "image-tools": {"boot", *_SIGNED},
        "essential": {"chroot-environment", "packages:default", "packages:template", *_LAYERED},
        "chroot-environment": {"packages:default", "packages:template", *_LAYERED},
        "packages:default": {"packages:template", *_LAYERED},
        "packages:template": _LAYERED,
        "os-configuration": _CONFIGURED,
        "initrd-configuration": {"initrd", "boot", *_SIGNED},
        "initrd": {"boot", *_SIGNED},
        "boot": _SIGNED,
        "enrolment": _SIGNED,
        "sign-boot": {"disk", *_DISK},
        "licences": {"sbom", *_TREE},
        "sbom": _TREE,
        "labels": _TREE - {"labels"},
        "disk": _DISK,
        "block-map": set[str](),
        "format-tools": {"pack:vmdk", "pack:vmdk.gz", "pack:tar"},
        "pack:vmdk": {"pack:vmdk.gz"},
        "pack:vmdk.gz": set[str](),
        "pack:tar": set[str](),
    },
}
AFTER["rpm"] = {
    "unpacked-environment": AFTER["deb"]["essential"],
    **{name: after for name, after in AFTER["deb"].items() if name != "essential"},
}

NOTHING = ""
PACKAGES = "essential chroot-environment packages:default packages:template"
DATED = f"{PACKAGES} os-configuration initrd boot enrolment sbom disk pack:tar"
HASH = "$6$saltsaltsaltsalt$" + "x" * 86
KEYS = ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + letter * 43 for letter in "AB")
KEY, OTHER_KEY = KEYS

TEMPLATE = f"""\
metadata: {{description: a sample, use_cases: [tests], keywords: [one]}}
image: {{name: small, version: "1.0"}}
target: {{os: debian, dist: debian13, arch: x86_64, imageType: raw}}
packageRepositories: []
disk:
  name: own
  size: 2GiB
  partitionTableType: gpt
  artifacts: [{{type: raw, bmap: true}}, {{type: vmdk, compression: gz}}, {{type: tar}}]
  partitions:
    - {{id: esp, name: esp, type: esp, fsType: fat32, fsLabel: ESP, start: 1MiB, end: 257MiB,
       mountPoint: /boot/efi, mountOptions: umask=0077, flags: [esp]}}
    - {{id: root, name: root, type: linux-root-amd64, fsType: ext4, fsLabel: root, start: 257MiB, end: 1500MiB,
       mountPoint: /}}
    - {{id: data, typeUUID: 0fc63daf-8483-4772-8e79-3d69d8477de4, start: 1500MiB, end: 1600MiB}}
    - {{id: hash, type: linux-root-amd64-verity, start: 1700MiB, end: 1720MiB}}
systemConfig:
  name: own
  description: a sample
  hostname: one.example.org
  timezone: Europe/Berlin
  locale: en_US.UTF-8
  keyboard: {{layout: de, variant: nodeadkeys, model: pc105, options: 'ctrl:nocaps'}}
  weakDependencies: false
  bootloader: {{bootType: efi, provider: systemd-boot}}
  kernel:
    version: "6.12"
    cmdline: quiet
    enableExtraModules: dummy
    packages: [linux-image-amd64]
  immutability: {{enabled: false}}
  packages: [htop, jq]
  secureBoot:
    key: keys/db.key
    certificate: keys/db.pem
    kek: {{key: keys/KEK.key, certificate: keys/KEK.pem}}
    pk: {{key: keys/PK.key, certificate: keys/PK.pem}}
    trusted: [keys/db.pem]
    enroll: force
  groups:
    - {{name: tele, gid: 900}}
    - {{name: plain}}
  users:
    - name: ann
      password: "{HASH}"
      hash_algo: sha512
      passwordMaxAge: 90
      sshAuthorizedKeys: ["{KEY}"]
      uid: 1500
      groups: [tele]
      sudo: true
      home: /srv/ann
      shell: /bin/bash
    - {{name: bob}}
  network:
    backend: netplan
    interfaces:
      - {{name: en*, dhcp4: true, dhcp6: true, optional: true}}
      - name: lan0
        macAddress: "02:00:00:00:00:01"
        addresses: [192.0.2.10/24]
        routes: [{{to: default, via: 192.0.2.1}}]
        nameservers: [192.0.2.2]
  selinux: enforcing
  services: {{enable: [one.service], disable: [two.timer], mask: [three.socket]}}
  additionalFiles:
    - {{local: files/motd, final: /etc/motd, mode: "0600", owner: ann, group: tele}}
    - {{local: files/plain, final: /etc/plain}}
    - {{local: files/tree, final: /srv/tree}}
  configurations:
    - cmd: echo one
    - cmd: echo two
"""
FILES = {"motd": "welcome\n", "plain": "plain\n", "tree/a": "a\n", "tree/sub/b": "b\n"}


@dataclass(frozen=True)
class Change:
    """`steps` are those whose own work it is. `old` becomes `new` in the template, or in the file `data` of the
    distribution's data, and so do the pairs of `also`. `first` is done to what is compared with, too. `files` changes
    the build host's files, `lock` the lock."""

    steps: str
    old: str = ""
    new: str = ""
    data: str = ""
    first: tuple[tuple[str, str], ...] = ()
    also: tuple[tuple[str, str], ...] = ()
    files: Callable[[Path], object] | None = None
    lock: ChangeLock | None = None


def _append(name: str, text: str) -> Callable[[Path], object]:
    def run(folder: Path) -> None:
        with (folder / name).open("a") as stream:
            stream.write(text)

    return run


def _packages(lock: Lock, change: Callable[[LockedPackage], LockedPackage]) -> Lock:
    """Every package of every set, changed."""
    sets = {
        name: replace(
            packages,
            transactions=tuple(replace(t, packages=tuple(map(change, t.packages))) for t in packages.transactions),
        )
        for name, packages in lock.sets.items()
    }
    return replace(lock, sets=sets)


def package(of: str, **fields: object) -> ChangeLock:
    """Fields of one package, in whichever set it is."""

    def changed(p: LockedPackage) -> LockedPackage:
        return dataclasses.replace(p, **fields) if p.name == of else p  # type: ignore[arg-type]

    return lambda lock: _packages(lock, changed)


def every_package(**fields: object) -> ChangeLock:
    return lambda lock: _packages(lock, lambda p: dataclasses.replace(p, **fields))  # type: ignore[arg-type]


def repository(**fields: object) -> ChangeLock:
    return lambda lock: replace(
        lock,
        repositories=tuple(dataclasses.replace(r, **fields) for r in lock.repositories),  # type: ignore[arg-type]
    )


def package_sets(**fields: object) -> ChangeLock:
    return lambda lock: replace(
        lock,
        sets={name: dataclasses.replace(p, **fields) for name, p in lock.sets.items()},  # type: ignore[arg-type]
    )


def both(*changes: ChangeLock) -> ChangeLock:
    def run(lock: Lock) -> Lock:
        for change in changes:
            lock = change(lock)
        return lock

    return run


def linked(folder: Path) -> None:
    (folder / "files/plain").rename(folder / "there")
    (folder / "files/plain").symlink_to("../there")


def copied(folder: Path) -> None:
    """As a checkout by somebody with another umask, at another time, in another order."""
    for path in sorted((folder / "files").rglob("*"), reverse=True):
        content = path.read_bytes() if path.is_file() else None
        if content is not None:
            path.unlink()
            path.write_bytes(content)
            path.chmod(0o660)
        os.utime(path, (5, 5))


CONF = "os-configuration"
ARTIFACTS = "  artifacts: [{type: raw, bmap: true}, {type: vmdk, compression: gz}, {type: tar}]\n"
WITH_DATA = (("end: 1600MiB", "fsType: ext4, end: 1600MiB"),)
SEALED = (*WITH_DATA, ("{enabled: false}", "{enabled: true}"))
SECURE_BOOT = TEMPLATE[TEMPLATE.index("  secureBoot:\n") : TEMPLATE.index("  groups:\n")]
UNSIGNED = (SECURE_BOOT, "")
GRUB = (("provider: systemd-boot", "provider: grub"), UNSIGNED)
COUNTED = (("provider: systemd-boot", "provider: systemd-boot, tries: 3"),)
VENDOR = (("provider: systemd-boot", "provider: grub, chain: vendor"), UNSIGNED)
WITH_BIOS = (("\nsystemConfig:", "\n    - {id: bios, type: bios, start: 1600MiB, end: 1610MiB}\nsystemConfig:"),)
LEGACY = (("bootType: efi, provider: systemd-boot", "bootType: legacy, provider: grub"), *WITH_BIOS, UNSIGNED)
OPENED = "passphraseFile: keys/image.key\n"  # a file that only its owner can read, as any
PLAIN_PASSWORD = ((f'"{HASH}"', "hush-hush-4"),)
# Each begins with the key that it is about.
TEMPLATE_ROWS = {
    "metadata.description": Change(NOTHING, "description: a sample, use", "description: another, use"),
    "metadata.use_cases": Change(NOTHING, "[tests]", "[tests, more]"),
    "metadata.keywords": Change(NOTHING, "[one]", "[one, two]"),
    # UUIDs follow from the name: in fstab, on the command line, on the disk.
    # A vmdk says its own name.
    "image.name": Change(f"{CONF} boot sbom disk pack:vmdk", "name: small,", "name: other,"),
    "image.version": Change("sbom pack:vmdk", '"1.0"', '"1.1"'),
    "disk.name": Change(NOTHING, "  name: own\n  size", "  name: another\n  size"),
    "disk.size": Change("disk", "2GiB", "3GiB"),
    "disk.size in another unit": Change(NOTHING, "2GiB", "2048MiB"),
    "disk.partitionTableType left out": Change(NOTHING, "  partitionTableType: gpt\n", ""),
    "disk.artifacts left out": Change(NOTHING, ARTIFACTS, ""),
    "disk.artifacts in another order": Change(
        NOTHING, "{type: vmdk, compression: gz}, {type: tar}", "{type: tar}, {type: vmdk, compression: gz}"
    ),
    "disk.artifacts[].type left out": Change(NOTHING, "{type: raw, bmap", "{bmap"),
    "disk.artifacts[].type not published": Change(NOTHING, "{type: raw, bmap: true}, ", ""),
    "disk.artifacts[].subformat": Change("pack:vmdk", "{type: vmdk,", "{type: vmdk, subformat: streamOptimized,"),
    "disk.artifacts[].subformat said": Change(NOTHING, "{type: vmdk,", "{type: vmdk, subformat: monolithic,"),
    "disk.artifacts[].compression": Change(NOTHING, "{type: vmdk, compression: gz}", "{type: vmdk}"),
    "disk.artifacts[].compression by its other name": Change(NOTHING, "compression: gz}", "compression: gzip}"),
    "disk.artifacts[].bmap": Change(NOTHING, ", bmap: true", ""),
    "disk.extendLastPartitionToFillDisk": Change(
        NOTHING, "  size: 2", "  extendLastPartitionToFillDisk: false\n  size: 2"
    ),
    "disk.partitions[].id": Change(f"{CONF} boot disk", "{id: root, name", "{id: base, name"),
    "disk.partitions[].name": Change("disk", "name: root, type", "name: system, type"),
    "disk.partitions[].name left out": Change(NOTHING, "id: esp, name: esp,", "id: esp,"),
    "disk.partitions[].type": Change("disk", "linux-root-amd64, fs", "linux, fs"),
    "disk.partitions[].typeUUID": Change("disk", "0fc63daf-8483", "0fc63dae-8483"),
    "disk.partitions[].typeUUID in capitals": Change(NOTHING, "0fc63daf-8483", "0FC63DAF-8483"),
    "disk.partitions[].typeUUID by its name": Change(
        NOTHING, "typeUUID: 0fc63daf-8483-4772-8e79-3d69d8477de4", "type: linux"
    ),
    "disk.partitions[].fsType by its other name": Change(NOTHING, "fsType: fat32", "fsType: vfat"),
    "disk.partitions[].fsLabel": Change("disk", "fsLabel: root", "fsLabel: top"),
    "disk.partitions[].start": Change("disk", "start: 1MiB", "start: 2MiB"),
    "disk.partitions[].end": Change("disk", "end: 1600MiB", "end: 1601MiB"),
    "disk.partitions[].mountPoint": Change(CONF, "/boot/efi", "/efi"),
    "disk.partitions[].mountOptions": Change(CONF, "umask=0077", "umask=0027"),
    "disk.partitions[].flags": Change(NOTHING, "flags: [esp]", "flags: [boot]"),
    "disk.partitions a partition more": Change(
        "disk", "\nsystemConfig:", "\n    - {id: more, start: 1600MiB, end: 1610MiB}\nsystemConfig:"
    ),
    "systemConfig.name": Change(NOTHING, "  name: own\n  desc", "  name: another\n  desc"),
    "systemConfig.description": Change(NOTHING, "description: a sample\n", "description: another\n"),
    "systemConfig.hostname": Change(CONF, "one.example", "two.example"),
    "systemConfig.timezone": Change(CONF, "Europe/Berlin", "Europe/Paris"),
    "systemConfig.locale": Change(CONF, "en_US.UTF-8", "de_DE.UTF-8"),
    "systemConfig.keyboard.layout": Change(CONF, "layout: de", "layout: us"),
    "systemConfig.keyboard.variant": Change(CONF, "variant: nodeadkeys", "variant: mac"),
    "systemConfig.keyboard.model": Change(CONF, "model: pc105", "model: pc104"),
    "systemConfig.keyboard.model left out": Change(NOTHING, " model: pc105,", ""),
    "systemConfig.keyboard.options": Change(CONF, "ctrl:nocaps", "ctrl:swapcaps"),
    "systemConfig.packages": Change("packages:template sbom", "[htop, jq]", "[htop, jq, tmux]"),
    "systemConfig.packages one less": Change("packages:template sbom", "[htop, jq]", "[htop]"),
    "systemConfig.packages one version of it": Change("packages:template sbom", "[htop, jq]", "[htop=0.9, jq]"),
    "systemConfig.packages in another order": Change(NOTHING, "[htop, jq]", "[jq, htop]"),
    "systemConfig.packages one that is there already": Change(NOTHING, "[htop, jq]", "[htop, jq, bash]"),
    "systemConfig.packages from the OS default's layer": Change(
        "packages:template sbom", "[htop, jq]", "[htop, jq, with-systemd]"
    ),
    "systemConfig.weakDependencies left out (see the other family)": Change(NOTHING, "  weakDependencies: false\n", ""),
    "systemConfig.bootloader.bootType": Change(
        "boot boot-files labels disk pack:tar", "bootType: efi", "bootType: legacy", first=(*GRUB, *WITH_BIOS)
    ),
    "systemConfig.bootloader.provider": Change("boot", "provider: systemd-boot", "provider: grub", first=(UNSIGNED,)),
    "systemConfig.bootloader.provider by its other name": Change(NOTHING, "grub}", "grub2}", first=GRUB),
    "systemConfig.bootloader.timeout": Change("boot", "systemd-boot}", "systemd-boot, timeout: 3}"),
    "systemConfig.bootloader.timeout of GRUB": Change("boot", "grub}", "grub, timeout: 3}", first=GRUB),
    "systemConfig.bootloader.timeout as it is": Change(NOTHING, "systemd-boot}", "systemd-boot, timeout: 0}"),
    "systemConfig.bootloader.tries": Change("boot", "systemd-boot}", "systemd-boot, tries: 3}"),
    "systemConfig.bootloader.kernels": Change("initrd boot labels", "systemd-boot}", "systemd-boot, kernels: all}"),
    "systemConfig.bootloader.kernels as it is": Change(NOTHING, "systemd-boot}", "systemd-boot, kernels: default}"),
    "systemConfig.bootloader.chain": Change("boot", "grub}", "grub, chain: vendor}", first=GRUB),
    "systemConfig.bootloader.chain as it is": Change(NOTHING, "grub}", "grub, chain: own}", first=GRUB),
    "systemConfig.bootloader.bootType left out": Change(NOTHING, "bootType: efi, ", ""),
    "systemConfig.bootloader.provider left out": Change(NOTHING, ", provider: systemd-boot", ""),
    "systemConfig.kernel.version": Change("initrd boot labels", '"6.12"', '"6.11"'),
    "systemConfig.kernel.cmdline": Change("boot", "cmdline: quiet", "cmdline: debug"),
    "systemConfig.kernel.cmdline with blanks around it": Change(NOTHING, "cmdline: quiet", "cmdline: ' quiet '"),
    "systemConfig.kernel.enableExtraModules": Change("initrd", "Modules: dummy", "Modules: dummy loop"),
    "systemConfig.kernel.uki": Change("boot", "    cmdline: quiet", "    uki: false\n    cmdline: quiet"),
    "systemConfig.kernel.uki of GRUB": Change(
        "uki boot", "    cmdline: quiet", "    uki: true\n    cmdline: quiet", first=GRUB
    ),
    "systemConfig.kernel.uki as it is": Change(NOTHING, "    cmdline: quiet", "    uki: true\n    cmdline: quiet"),
    "systemConfig.kernel.packages": Change("packages:template sbom", "[linux-image-amd64]", "[linux-image-rt]"),
    "systemConfig.groups[].name": Change(CONF, "{name: plain}", "{name: plane}"),
    "systemConfig.groups[].gid": Change(CONF, "gid: 900", "gid: 901"),
    "systemConfig.groups in another order": Change(
        CONF,
        "    - {name: tele, gid: 900}\n    - {name: plain}\n",
        "    - {name: plain}\n    - {name: tele, gid: 900}\n",
    ),
    "systemConfig.users[].name": Change(CONF, "{name: bob}", "{name: bill}"),
    "systemConfig.users[].password": Change(CONF, "$saltsaltsaltsalt$", "$saltsaltsaltSALT$"),
    "systemConfig.users[].password plain": Change(CONF, "hush-hush-4", "hush-hush-5", first=PLAIN_PASSWORD),
    "systemConfig.users[].password plain and the same": Change(
        NOTHING, "hush-hush-4", '"hush-hush-4"', first=PLAIN_PASSWORD
    ),
    "systemConfig.users[].hash_algo": Change(CONF, "algo: sha512", "algo: sha256", first=PLAIN_PASSWORD),
    "systemConfig.users[].hash_algo left out": Change(NOTHING, "      hash_algo: sha512\n", ""),
    "systemConfig.users[].passwordMaxAge": Change(CONF, "MaxAge: 90", "MaxAge: 91"),
    "systemConfig.users[].sshAuthorizedKeys": Change(CONF, KEY, OTHER_KEY),
    "systemConfig.users[].uid": Change(CONF, "uid: 1500", "uid: 1501"),
    "systemConfig.users[].startupScript": Change(CONF, "{name: bob}", "{name: bob, startupScript: /usr/bin/menu}"),
    "systemConfig.users[].groups": Change(CONF, "groups: [tele]", "groups: [tele, plain]"),
    "systemConfig.users[].sudo": Change(CONF, "sudo: true", "sudo: false"),
    "systemConfig.users[].sudo said to be off": Change(NOTHING, "{name: bob}", "{name: bob, sudo: false}"),
    "systemConfig.users[].home": Change(CONF, "/srv/ann", "/srv/anne"),
    "systemConfig.users[].shell": Change(CONF, "shell: /bin/bash", "shell: /bin/sh"),
    "systemConfig.users in another order": Change(
        CONF, "  users:\n", "  users:\n    - {name: bob}\n", also=(("    - {name: bob}\n  network", "  network"),)
    ),
    "systemConfig.network.backend": Change(CONF, "backend: netplan", "backend: systemd-networkd"),
    "systemConfig.network.backend left out": Change(
        NOTHING, "    backend: systemd-networkd\n", "", first=(("backend: netplan", "backend: systemd-networkd"),)
    ),
    "systemConfig.network.interfaces[].name": Change(CONF, "name: lan0", "name: lan1"),
    "systemConfig.network.interfaces[].macAddress": Change(CONF, "00:00:01", "00:00:02"),
    "systemConfig.network.interfaces[].dhcp4": Change(CONF, "dhcp4: true", "dhcp4: false"),
    "systemConfig.network.interfaces[].dhcp6": Change(CONF, "dhcp6: true", "dhcp6: false"),
    "systemConfig.network.interfaces[].addresses": Change(CONF, "192.0.2.10", "192.0.2.11"),
    "systemConfig.network.interfaces[].routes[].to": Change(CONF, "to: default", "to: 198.51.100.0/24"),
    "systemConfig.network.interfaces[].routes[].via": Change(CONF, "via: 192.0.2.1", "via: 192.0.2.3"),
    "systemConfig.network.interfaces[].nameservers": Change(CONF, "[192.0.2.2]", "[192.0.2.4]"),
    "systemConfig.network.interfaces[].optional": Change(CONF, ", optional: true", ""),
    "systemConfig.secureBoot.key in another file": Change(NOTHING, "key: keys/db.key", "key: ./keys/../keys/db.key"),
    "systemConfig.secureBoot.certificate and its key": Change(
        "enrolment sign-boot",
        "key: keys/db.key\n    certificate: keys/db.pem",
        "key: keys/image.key\n    certificate: keys/image.pem",
    ),
    "systemConfig.secureBoot.certificate in its other form": Change(
        NOTHING, "    certificate: keys/db.pem", "    certificate: keys/db.der"
    ),
    "systemConfig.secureBoot.passphraseFile": Change(
        NOTHING, "    key: keys/db.key", f"    {OPENED}    key: keys/db.key"
    ),
    "systemConfig.secureBoot.kek.key": Change(NOTHING, "key: keys/KEK.key", "key: ./keys/KEK.key"),
    "systemConfig.secureBoot.kek.certificate and its key": Change(
        "enrolment",
        "{key: keys/KEK.key, certificate: keys/KEK.pem}",
        "{key: keys/image.key, certificate: keys/image.pem}",
    ),
    "systemConfig.secureBoot.kek.passphraseFile": Change(
        NOTHING, "{key: keys/KEK.key,", "{passphraseFile: keys/image.key, key: keys/KEK.key,"
    ),
    "systemConfig.secureBoot.kek left out": Change(
        "enrolment", "    kek: {key: keys/KEK.key, certificate: keys/KEK.pem}\n", ""
    ),
    "systemConfig.secureBoot.pk.key": Change(NOTHING, "key: keys/PK.key", "key: ./keys/PK.key"),
    "systemConfig.secureBoot.pk.certificate and its key": Change(
        "enrolment",
        "{key: keys/PK.key, certificate: keys/PK.pem}",
        "{key: keys/image.key, certificate: keys/image.pem}",
    ),
    "systemConfig.secureBoot.pk.passphraseFile": Change(
        NOTHING, "{key: keys/PK.key,", "{passphraseFile: keys/image.key, key: keys/PK.key,"
    ),
    "systemConfig.secureBoot.trusted": Change("enrolment", "trusted: [keys/db.pem]", "trusted: [keys/image.der]"),
    "systemConfig.secureBoot.dated": Change("enrolment", "enroll: force", 'enroll: force\n    dated: "2031-01-01"'),
    "systemConfig.secureBoot.dated to the second": Change(
        "enrolment", "enroll: force", 'enroll: force\n    dated: "2031-01-01T00:00:01Z"'
    ),
    "systemConfig.secureBoot.enroll": Change("sign-boot", "enroll: force", "enroll: if-safe"),
    "systemConfig.services.enable": Change(CONF, "[one.service]", "[one.service, four.service]"),
    "systemConfig.services.enable without suffix": Change(NOTHING, "[one.service]", "[one]"),
    "systemConfig.services.disable": Change(CONF, "[two.timer]", "[]"),
    "systemConfig.services.mask": Change(CONF, "[three.socket]", "[five.socket]"),
    "systemConfig.additionalFiles[].local": Change(NOTHING, "files/motd", "./files/../files/motd"),
    "systemConfig.additionalFiles[].local its content": Change(CONF, files=_append("files/motd", "!")),
    "systemConfig.additionalFiles[].local made a program": Change(
        CONF, files=lambda f: (f / "files/plain").chmod(0o755)
    ),
    "systemConfig.additionalFiles[].local a file more": Change(
        CONF, files=lambda f: (f / "files/tree/c").write_text("")
    ),
    "systemConfig.additionalFiles[].local a link to the same": Change(NOTHING, files=linked),
    "systemConfig.additionalFiles[].local checked out by another": Change(NOTHING, files=copied),
    "systemConfig.additionalFiles[].final": Change(CONF, "final: /etc/motd", "final: /etc/issue"),
    "systemConfig.additionalFiles[].mode": Change(CONF, 'mode: "0600"', 'mode: "0640"'),
    "systemConfig.additionalFiles[].mode as it is": Change(NOTHING, "/etc/plain}", '/etc/plain, mode: "0644"}'),
    "systemConfig.additionalFiles[].owner": Change(CONF, "owner: ann", "owner: bob"),
    "systemConfig.additionalFiles[].group": Change(CONF, ", group: tele", ", group: plain"),
    "systemConfig.additionalFiles[].stage": Change(NOTHING, "/etc/plain}", '/etc/plain, stage: ""}'),
    "systemConfig.selinux": Change(CONF, "selinux: enforcing", "selinux: permissive"),
    "systemConfig.configurations[].cmd": Change(CONF, "echo two", "echo three"),
    "systemConfig.configurations in another order": Change(
        CONF, "    - cmd: echo one\n    - cmd: echo two\n", "    - cmd: echo two\n    - cmd: echo one\n"
    ),
    "packageRepositories[].codename": Change(
        NOTHING, "packageRepositories: []", "packageRepositories: [{codename: stable}]"
    ),
    "packageRepositories[].priority": Change(
        NOTHING, "packageRepositories: []", "packageRepositories: [{codename: stable, priority: 700}]"
    ),
    "target in another order": Change(NOTHING, "{os: debian, dist: debian13,", "{dist: debian13, os: debian,"),
    "- a comment": Change(NOTHING, "systemConfig:\n", "# a remark\n\nsystemConfig:   # another\n"),
    "- sections in another order": Change(
        NOTHING,
        "packageRepositories: []\n",
        "",
        also=(("    - cmd: echo two\n", "    - cmd: echo two\npackageRepositories: []\n"),),
    ),
    "- a section as its OS default has it": Change(NOTHING, "  kernel:\n", "  fde: {enabled: false}\n  kernel:\n"),
    "systemConfig.immutability.enabled": Change(
        f"{CONF} initrd root-filesystem verity boot disk", "{enabled: false}", "{enabled: true}", first=WITH_DATA
    ),
    "disk.partitions[].end of a sealed root": Change("root-filesystem disk", "1500MiB,\n", "1400MiB,\n", first=SEALED),
    "disk.partitions[].name of a sealed root": Change("disk", "name: root, type", "name: system, type", first=SEALED),
    "disk.partitions[].mountOptions of the data partition": Change(
        "initrd", "end: 1600MiB", "mountOptions: noatime, end: 1600MiB", first=SEALED
    ),
    "disk.partitions[].mountPoint of the data partition": Change(
        f"{CONF} initrd", "end: 1600MiB", "mountPoint: /opt, end: 1600MiB", first=SEALED
    ),
    "disk.partitions[].mountPoint of a partition more": Change(
        f"{CONF} disk", "end: 1600MiB", "mountPoint: /data, end: 1600MiB", first=WITH_DATA
    ),
}

COMMON, CONFIG, DEFAULT = (
    "osv/debian/common.yml",
    "osv/debian/debian13/config.yml",
    "osv/debian/debian13/imageconfigs/defaultconfigs/default-raw-x86_64.yml",
)
STATE = "osv/initrd/dracut/state.sh"
CHROOT = "osv/debian/debian13/chrootenvconfigs/chrootenv_x86_64.yml"
REPOSITORY = "osv/debian/debian13/providerconfigs/x86_64_repo.yml"
TOOLS = "osv/image-tools.yml"
# Each begins with the field of `Distribution` or `ImageTools` that it is about.
DATA_ROWS = {
    "release_version": Change(NOTHING, '"13"', '"13.1"', CONFIG),
    "repositories.priority": Change(NOTHING, "priority: 500", "priority: 600", REPOSITORY),
    # The vendor's address stands in the bill of materials; the mirror that serves does not.
    "repositories.url": Change("sbom", "url: null", "url: 'https://vendor.invalid/x'", REPOSITORY),
    "chroot_packages": Change("chroot-environment", "[apt]", "[apt, tmux]", CHROOT),
    "held_back": Change(f"{PACKAGES}", "  - bootctl ", "  - mandb\n  - bootctl ", COMMON),
    "environment": Change(f"{PACKAGES} {CONF} initrd", 'INITRD: "No"', 'INITRD: "Yes"', COMMON),
    "environment in another order": Change(
        NOTHING,
        "environment:\n",
        'environment:\n  SYSTEMD_IN_CHROOT: "1"\n',
        COMMON,
        also=(('  SYSTEMD_IN_CHROOT: "1"                 # ', "  # "),),
    ),
    "initrd.argv": Change("initrd", "zstd -3", "zstd -4", COMMON),
    "initrd.extra_modules_option": Change("initrd", "--add-drivers", "--force-drivers", COMMON),
    "initrd.configuration": Change("initrd-configuration", "    - etc/crypttab\n", "", COMMON),
    "initrd.dated_by": Change("initrd", "dracut-functions.sh]", "dracut-init.sh]", COMMON),
    "initrd.read_only_root.argv": Change("initrd", "argv: [--add, image-state]", "argv: []", COMMON, first=SEALED),
    "initrd.read_only_root.verity_argv": Change("initrd", "systemd-veritysetup]", "other]", COMMON, first=SEALED),
    "initrd.read_only_root.files": Change("initrd", "set -eufC", "set -euf", STATE, first=SEALED),
    "initrd.read_only_root.into": Change("initrd", "90image-state", "91image-state", COMMON, first=SEALED),
    "initrd.read_only_root.cmdline": Change("boot", "rd.emergency=halt", "rd.emergency=reboot", COMMON, first=SEALED),
    "initrd.read_only_root.verified": Change("initrd", "[var/lib/dpkg]", "[]", COMMON, first=SEALED),
    "initrd.read_only_root.needs": Change("initrd", "usr/sbin/e2fsck", "sbin/e2fsck", COMMON, first=SEALED),
    "initrd.read_only_root.verity_needs": Change("initrd", "usr/sbin/dmsetup", "sbin/dmsetup", COMMON, first=SEALED),
    "initrd.read_only_root.packages_known": Change(
        NOTHING, "packagesKnown: true", "packagesKnown: false", COMMON, first=SEALED
    ),
    "initrd.read_only_root where the root can be written to": Change(NOTHING, "[var/lib/dpkg]", "[]", COMMON),
    "boot.kernel": Change("initrd boot labels", "boot/vmlinuz-*", "usr/lib/vmlinuz-*", COMMON),
    "boot.modules": Change("initrd boot labels", "modules: usr/lib/modules", "modules: lib/modules", COMMON),
    "boot.stub": Change("boot", "linuxx64.efi.stub", "addonx64.efi.stub", COMMON),
    "boot.loader": Change("boot", "systemd-bootx64.efi", "otherx64.efi", COMMON),
    "boot.removable_path": Change("boot", "BOOT/BOOTX64.EFI", "BOOT/bootx64.efi", COMMON),
    "boot.loader_package": Change(NOTHING, "loaderPackage: systemd-boot-efi", "loaderPackage: other", COMMON),
    "boot.bless": Change("boot", "systemd-bless-boot,", "other-bless,", COMMON, first=COUNTED),
    "boot.bless where nothing is counted": Change(NOTHING, "systemd-bless-boot,", "other-bless,", COMMON),
    "boot.grub": Change("boot", "usr/bin/grub-mkimage", "usr/bin/other-mkimage", COMMON, first=GRUB),
    "boot.grub of a BIOS": Change("boot", "grub/i386-pc,", "grub/i386-other,", COMMON, first=LEGACY),
    "boot.grub where another boot loader is": Change(NOTHING, "bin/grub-mkimage", "bin/other-mkimage", COMMON),
    "boot.vendor": Change("boot", "shim/shimx64.efi.signed", "shim/shimx64.efi", COMMON, first=VENDOR),
    "selinux.packages": Change(CONF, "[selinux-policy-default, policycoreutils]", "[selinux-policy-mls]", COMMON),
    "selinux.on": Change("boot", "on: [security=selinux]", "on: [security=selinux, selinux=1]", COMMON),
    "squashfs": Change(NOTHING, "squashfs: zstd", "squashfs: xz", COMMON),
    "selinux.off": Change(NOTHING, "off: []", "off: [selinux=0]", COMMON),
    "sudo_group": Change(CONF, "sudoGroup: sudo", "sudoGroup: wheel", COMMON),
    "leftovers": Change(f"{PACKAGES} {CONF}", "  - root/.rnd", "  - root/.cache\n  - root/.rnd", COMMON),
    "first_boot.when": Change(CONF, "usr/sbin/sshd ", "usr/sbin/ssh ", CONFIG),
    "first_boot.path": Change(CONF, "10-when-missing", "20-when-missing", CONFIG),
    "first_boot.content": Change(CONF, "ed25519", "ecdsa", CONFIG),
    "purl_namespace": Change("sbom", "sudoGroup: sudo", "purlNamespace: other\nsudoGroup: sudo", COMMON),
    "tools.packages": Change("image-tools", "  - zstd\n  - xorriso", "  - zstd\n  - tmux\n  - xorriso", TOOLS),
    "tools.format_packages": Change("format-tools", "  - pigz", "  - tmux\n  - pigz", TOOLS),
    "tools.packages in another order": Change(
        NOTHING, "packages:\n", "packages:\n  - zstd\n", TOOLS, also=(("images\n  - zstd\n", "images\n"),)
    ),
    "- a comment": Change(NOTHING, "family: deb\n", "# a remark\nfamily: deb   # another\n", COMMON),
    "- keys in another order": Change(
        NOTHING, "family: deb\nsudoGroup: sudo\n", "sudoGroup: sudo\nfamily: deb\n", COMMON
    ),
    "- the OS default's packages": Change("packages:default sbom", "    - bash\n", "    - bash\n    - tmux\n", DEFAULT),
    "- the OS default's command line": Change(NOTHING, "cmdline: console=tty0", "cmdline: console=tty1", DEFAULT),
    "- the OS default's host name": Change(NOTHING, "hostname: debian", "hostname: default", DEFAULT),
}

# Each begins with the field of the lock, of a package or of a repository that it is about. htop is in the template's
# layer, systemd in the OS default's, bash essential; apt and e2fsprogs are in the image and in an environment as well.
LOCK_ROWS = {
    "seed": Change(f"{CONF} boot sbom disk", lock=lambda k: replace(k, seed="11111111-2222-5333-8444-555555555555")),
    "source_date_epoch": Change(DATED, lock=lambda k: replace(k, source_date_epoch=k.source_date_epoch + 86400)),
    "sha256 the bytes of a template's package": Change(
        "packages:template sbom", lock=package("htop", sha256="ab" * 32)
    ),
    "sha256 the bytes of an OS default's package": Change(
        "packages:default sbom", lock=package("systemd", sha256="ab" * 32)
    ),
    "sha256 the bytes of an essential package": Change("essential sbom", lock=package("bash", sha256="ab" * 32)),
    "sha256 the bytes of the package manager": Change(
        "chroot-environment packages:default sbom", lock=package("apt", sha256="ab" * 32)
    ),
    "sha256 the bytes of an image tool": Change("image-tools", lock=package("dosfstools", sha256="ab" * 32)),
    "sha256 the bytes of a tool that the image has, too": Change(
        "image-tools packages:default sbom", lock=package("e2fsprogs", sha256="ab" * 32)
    ),
    "version": Change("packages:template sbom", lock=package("htop", version="1.0-0")),
    "version of an image tool": Change("image-tools", lock=package("mtools", version="9")),
    "arch": Change("packages:template sbom", lock=package("htop", arch="all")),
    "name": Change("packages:template sbom", lock=package("htop", name="htopp")),
    "path": Change("sbom", lock=package("htop", path="pool/other/htop.deb")),
    "depends": Change("sbom", lock=package("htop", depends=("bash",))),
    "size": Change(NOTHING, lock=package("htop", size=7)),
    "installed_size": Change(NOTHING, lock=package("htop", installed_size=7)),
    "source": Change(NOTHING, lock=package("htop", source="other 1.0")),
    "repository renamed": Change(NOTHING, lock=both(every_package(repository="new/x"), repository(name="new/x"))),
    "url": Change(NOTHING, lock=repository(url="https://elsewhere.invalid")),
    "suite": Change(NOTHING, lock=repository(suite="newer")),
    "date": Change(NOTHING, lock=repository(date=1)),
    "valid_until": Change(NOTHING, lock=repository(valid_until=1)),
    "metadata_sha256": Change(NOTHING, lock=repository(metadata_sha256="ab" * 32)),
    "signers": Change(NOTHING, lock=repository(signers=("AB" * 20,))),
    "family": Change(NOTHING, lock=repository(family="other")),
    "components": Change(NOTHING, lock=repository(components=("contrib",))),
    "priority": Change(NOTHING, lock=repository(priority=7)),
    "asked": Change(NOTHING, lock=package_sets(asked=())),
    "roots": Change(NOTHING, lock=package_sets(roots=("jq",))),
    "weak_dependencies": Change(NOTHING, lock=package_sets(weak_dependencies=True)),
}

# Where the other family differs: its environment is unpacked first, and nothing is essential.
AZURE = "osv/azure-linux/azl3/config.yml"
RPM_PACKAGES = "chroot-environment packages:default packages:template"
RPM_ROWS = {
    "hostname": Change(CONF, "one.example", "two.example"),
    "cmdline": Change("boot", "cmdline: quiet", "cmdline: debug"),
    "cmdline's modules": Change("initrd", "Modules: dummy", "Modules: dummy loop"),
    "a package more": Change("packages:template sbom", "[htop, jq]", "[htop, jq, tmux]"),
    "what packages recommend": Change("packages:template sbom", "Dependencies: false", "Dependencies: true"),
    "a package's bytes": Change("packages:template sbom", lock=package("htop", sha256="ab" * 32)),
    "an OS default package's bytes": Change("packages:default sbom", lock=package("cronie-anacron", sha256="ab" * 32)),
    "the environment's bytes": Change(
        "unpacked-environment chroot-environment", lock=package("core-packages-container", sha256="ab" * 32)
    ),
    "an image tool's bytes": Change("image-tools", lock=package("dosfstools", sha256="ab" * 32)),
    "held_back": Change(RPM_PACKAGES, "  - mkinitrd ", "  - mandb\n  - mkinitrd ", AZURE),
    "leftovers": Change(f"{RPM_PACKAGES} {CONF}", "  - root/.rnd", "  - root/.cache\n  - root/.rnd", AZURE),
    "environment": Change(f"{RPM_PACKAGES} {CONF} initrd", 'OFFLINE: "1"', 'OFFLINE: "0"', AZURE),
    "seed": Change(f"{CONF} boot sbom disk", lock=lambda k: replace(k, seed="11111111-2222-5333-8444-555555555555")),
    "source_date_epoch": Change(
        f"{RPM_PACKAGES} {CONF} initrd boot enrolment sbom disk pack:tar",
        lock=lambda k: replace(k, source_date_epoch=k.source_date_epoch + 86400),
    ),
    "url": Change(NOTHING, lock=repository(url="https://elsewhere.invalid")),
}


@pytest.fixture(scope="module", autouse=True)
def keys_of_templates(keys: KeyFolder) -> None:
    Workplace.keys = keys


class Workplace:
    """A family's made-up packages, the plan of the template above, and a store that has all its results."""

    keys: ClassVar[KeyFolder]

    def __init__(self, root: Path, family: str) -> None:
        self.root = root
        self.family = family
        self.archive = small_archive(root / "archive", *PACKAGES_TOO, family=family)
        self.base = self.plan(root / "base", Change(NOTHING))
        self.built = filled(self.base, root)

    def plan(self, folder: Path, change: Change, *, changed: bool = False) -> Plan:
        """The plan as it is with `change`, or before it."""
        folder.mkdir()
        text = TEMPLATE
        if self.family == "rpm":
            text = text.replace("os: debian, dist: debian13", "os: azure-linux, dist: azl3").replace(
                "linux-image-amd64", "kernel"
            )
        shutil.copytree(self.keys.path, folder / "keys")
        for name, content in FILES.items():
            path = folder / "files" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        text = edited(text, change.first)
        data = self.archive.data.data
        if changed:
            pairs = ((change.old, change.new), *change.also) if change.old else ()
            if change.data:
                shutil.copytree(data, folder / "data")
                data = folder / "data"
                (data / change.data).write_text(edited((data / change.data).read_text(), pairs))
            else:
                text = edited(text, pairs)
            if change.files is not None:
                change.files(folder)
        (folder / "template.yml").write_text(text)
        return planned(self.archive, folder / "template.yml", data, change.lock if changed else None)


PACKAGES_TOO = (
    *(Described(name) for name in ("jq", "tmux", "linux-image-rt")),
    Described("htop", recommends=("tmux",)),
    Described("htop", "0.9"),
    Described("with-systemd", depends=("systemd",)),
)


def edited(text: str, pairs: Iterable[tuple[str, str]]) -> str:
    for old, new in pairs:
        assert text.count(old) == 1, f"{old!r} is there {text.count(old)} times"
        text = text.replace(old, new)
    return text


@pytest.fixture(scope="module")
def deb_place(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    return Workplace(tmp_path_factory.mktemp("deb"), "deb")


@pytest.fixture(scope="module")
def rpm_place(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    return Workplace(tmp_path_factory.mktemp("rpm"), "rpm")


def work_of(planned_step: PlannedStep) -> object:
    """All but what the ids of the inputs say."""
    step = planned_step.step
    return (step.action.kind, step.action.version, step.options(), step.inputs)


def check(family: str, before: Plan, after: Plan, steps: str, built: tuple[Store, Shelf]) -> None:
    """Exactly `steps` have other work, exactly these and what comes after them other ids, and a build that has all
    results of `before` would reuse exactly the others."""
    old = {step.name: step for step in before}
    own = {step.name for step in after if step.name not in old or work_of(step) != work_of(old[step.name])}
    assert own == set(steps.split())
    follow = AFTER[family] if {step.name for step in after} == set(AFTER[family]) else following(after)
    expected = own.union(*(follow[name] for name in own))
    assert {step.name for step in after if step.name not in old or step.id != old[step.name].id} == expected
    verdicts = {f.name: f.verdict for f in forecast(after, *built)}
    assert {name for name, verdict in verdicts.items() if verdict != "reused"} == expected
    assert {name for name, verdict in verdicts.items() if verdict == "runs"} == {
        name for name in expected if not any(name in follow[other] for other in expected)
    }


def following(plan: Plan) -> dict[str, set[str]]:
    """What starts from each step's result, directly or not."""
    after: dict[str, set[str]] = {}
    for step in reversed(plan.steps):
        users = {other.name for other in plan if step.name in {i.step for i in other.step.inputs}}
        after[step.name] = users.union(*(after[user] for user in users))
    return after


def check_row(place: Workplace, change: Change, folder: Path) -> None:
    before, built = place.base, place.built
    if change.first:
        before = place.plan(folder / "before", change)
        built = filled(before, folder)
    after = place.plan(folder / "after", change, changed=True)
    check(place.family, before, after, change.steps, built)


@pytest.mark.parametrize("family", ["deb", "rpm"])
def test_what_starts_from_what_is_what_the_rows_below_take_it_for(
    family: str, deb_place: Workplace, rpm_place: Workplace
) -> None:
    assert following((deb_place if family == "deb" else rpm_place).base) == AFTER[family]


@pytest.mark.parametrize("name", TEMPLATE_ROWS)
def test_a_key_of_the_template_runs_its_steps_and_no_others(name: str, deb_place: Workplace, tmp_path: Path) -> None:
    check_row(deb_place, TEMPLATE_ROWS[name], tmp_path)


@pytest.mark.parametrize("name", DATA_ROWS)
def test_the_distributions_data_run_their_steps_and_no_others(name: str, deb_place: Workplace, tmp_path: Path) -> None:
    check_row(deb_place, DATA_ROWS[name], tmp_path)


@pytest.mark.parametrize("name", LOCK_ROWS)
def test_the_lock_runs_its_steps_and_no_others(name: str, deb_place: Workplace, tmp_path: Path) -> None:
    check_row(deb_place, LOCK_ROWS[name], tmp_path)


@pytest.mark.parametrize("name", RPM_ROWS)
def test_the_other_family_runs_its_own_steps_and_no_others(name: str, rpm_place: Workplace, tmp_path: Path) -> None:
    check_row(rpm_place, RPM_ROWS[name], tmp_path)


@pytest.mark.parametrize("family", ["deb", "rpm"])
def test_another_version_of_a_step_runs_the_steps_of_that_kind_and_no_others(
    family: str, deb_place: Workplace, rpm_place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = deb_place if family == "deb" else rpm_place
    kinds = {step.step.action.kind: type(step.step.action) for step in place.base}
    versions = {kind: action.version for kind, action in kinds.items()}
    for kind, action in kinds.items():
        monkeypatch.setattr(action, "version", versions[kind] + 1)
        after = make_plan(place.base.name, [s.step for s in place.base], place.base.engine)
        own = {step.name for step in after if step.step.action.kind == kind}
        expected = own.union(*(AFTER[family][name] for name in own))
        old = {step.name: step.id for step in place.base}
        assert {step.name for step in after if step.id != old[step.name]} == expected, kind
        assert {f.name for f in forecast(after, *place.built) if f.verdict != "reused"} == expected, kind
        monkeypatch.setattr(action, "version", versions[kind])


def test_another_version_of_the_sandbox_runs_every_step(
    deb_place: Workplace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("os_image_composer.provider.provider.SANDBOX_VERSION", 1_000_000)
    after = deb_place.plan(tmp_path / "after", Change(NOTHING))
    old = {step.name: step.id for step in deb_place.base}
    assert not [step.name for step in after if step.id == old[step.name]]
    assert {f.verdict for f in forecast(after, *deb_place.built)} == {"runs", "maybe"}


def test_every_key_of_the_language_has_a_row() -> None:
    keys = {
        f"{section.path}.{key.name}".lstrip(".")
        for section in sections(ImageTemplate)
        for key in section.keys
        if (key.built or key.nothing is not None)
        and key.shape.kind != "keys and values"
        and not _holds_sections(key.shape)
    }
    rows = {name.split()[0] for name in TEMPLATE_ROWS}
    # Another target is another plan; the rest is refused with any other value than the one it has when left out.
    elsewhere = {"target.os", "target.dist", "target.arch", "target.imageType"}
    # In test_honest_ids_of_kinds.py.
    elsewhere |= {f"systemConfig.live.{key}" for key in ("title", "carry[].local", "carry[].name")}
    refused = {
        *("sbomPackageMetadata", "packageRepositories[].insecureSkipVerify", "systemConfig.kernel.packages"),
        *(key for key in keys if key.startswith(("systemConfig.immutability.secure", "systemConfig.fde"))),
    }
    assert keys - rows - elsewhere - refused == set()


def _holds_sections(shape: Shape) -> bool:
    return shape.item is not None and shape.item.model is not None


def test_every_field_of_the_distributions_data_has_a_row() -> None:
    sections_of = {
        "initrd": InitrdData,
        "initrd.read_only_root": ReadOnlyRootData,
        "boot": BootData,
        "first_boot": FirstBootFile,
        "selinux": SelinuxData,
    }
    fields = {f.name for f in dataclasses.fields(Distribution)}
    fields |= {f"{name}.{f.name}" for name, kind in sections_of.items() for f in dataclasses.fields(kind)}
    fields -= set(sections_of)
    # Of another distribution, architecture or family nothing is reused. Repositories have rows of their own.
    # So has what is about live systems, in test_honest_ids_of_kinds.py.
    fields -= {"os", "dist", "arch", "family", "package_arch", "repositories", "live"}
    fields |= {"repositories.url", "tools.packages", "tools.format_packages"}
    assert {f.name for f in dataclasses.fields(ImageTools)} == {"os", "dist", "packages", "format_packages"}
    assert fields <= {name.split()[0] for name in DATA_ROWS}


def test_every_field_of_the_lock_has_a_row() -> None:
    fields = {f.name for kind in (Lock, LockedPackage, LockedRepository, PackageSet) for f in dataclasses.fields(kind)}
    # What they are in, not what they say: another target, the lists themselves; which are essential decides where a
    # package is installed, and its place is a step's option.
    fields -= {"os", "dist", "repositories", "sets", "transactions", "essential"}
    assert fields <= {name.split()[0] for name in LOCK_ROWS}


def test_another_mirror_with_the_same_packages_changes_nothing(deb_place: Workplace, tmp_path: Path) -> None:
    """Resolved anew, from another address, signed with another key, on the same day."""
    other = Workplace(tmp_path, "deb")
    assert other.base.to_json() == deb_place.base.to_json()


def test_other_bytes_under_the_same_version_run_the_layer_that_has_them(deb_place: Workplace, tmp_path: Path) -> None:
    other = Workplace(tmp_path, "deb")
    (htop,) = (p for p in other.archive.data.repository.packages if name_and_version(p) == ("htop", "1.0"))
    other.archive.data.repository.packages.remove(htop)  # type: ignore[arg-type]
    other.archive.data.repository.packages.append(deb("htop", "1.0", files={"./usr/bin/htop": b"other"}))  # type: ignore[arg-type]
    other.archive.data.repository.write()
    shutil.rmtree(other.archive.cache / "locks")
    after = other.plan(tmp_path / "after", Change(NOTHING))
    check("deb", deb_place.base, after, "packages:template sbom", deb_place.built)


def name_and_version(package: object) -> tuple[str, str]:
    fields: dict[str, str] = package.fields  # type: ignore[attr-defined]
    return fields["Package"], fields["Version"]


def test_a_pinned_essential_package_leaves_the_environment_as_it_was(deb_place: Workplace, tmp_path: Path) -> None:
    """Only the image's is another one then: the environment's, which was the image's lowest layer, is made apart."""

    def pinned(lock: Lock) -> Lock:
        image = package("bash", sha256="ab" * 32)(lock).sets["image"]
        return replace(lock, sets={**lock.sets, "image": image})

    after = deb_place.plan(tmp_path / "after", Change(NOTHING, lock=pinned), changed=True)
    assert after["chroot-essential"].id == deb_place.base["essential"].id
    assert after["chroot-environment"].id == deb_place.base["chroot-environment"].id
    assert after["image-tools"].id == deb_place.base["image-tools"].id
    assert {f.name for f in forecast(after, *deb_place.built) if f.verdict == "reused"} == {
        *("image-tools", "format-tools", "chroot-essential", "chroot-environment", "enrolment"),
    }


def test_workers_and_places_of_the_settings_change_nothing(deb_place: Workplace, tmp_path: Path) -> None:
    settings = deb_place.archive.settings
    text = settings.read_text()
    try:
        settings.write_text(
            f"{text}workers: 7\ntemp_dir: {tmp_path}/tmp\nroot_id_range: {{start: 1000000000, count: 70000}}\n"
        )
        assert deb_place.plan(tmp_path / "after", Change(NOTHING)).to_json() == deb_place.base.to_json()
    finally:
        settings.write_text(text)


@pytest.mark.parametrize(
    "variable", ["TZ", "LANG", "LC_ALL", "HOME", "PYTHONHASHSEED", "SOURCE_DATE_EPOCH", "http_proxy"]
)
def test_variables_of_the_caller_change_nothing(
    variable: str, deb_place: Workplace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(variable, {"TZ": "Pacific/Kiritimati", "HOME": str(tmp_path)}.get(variable, "1"))
    umask = os.umask(0o077)
    try:
        assert deb_place.plan(tmp_path / "after", Change(NOTHING)).to_json() == deb_place.base.to_json()
    finally:
        os.umask(umask)

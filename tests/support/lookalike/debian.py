"""The Debian 12 packages that the look-alikes are made of, fetched and verified by the product."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from os_image_composer.build.clock import SystemClock
from os_image_composer.build.events import silent
from os_image_composer.config.distribution_data import load_distribution
from os_image_composer.config.network import Network
from os_image_composer.config.settings import load_settings
from os_image_composer.config.spec import PackageGroup
from os_image_composer.ospackage.cache import PackageCache
from os_image_composer.ospackage.family import family_for
from os_image_composer.ospackage.fetch import fetch_packages
from os_image_composer.ospackage.mirrors import repositories_for
from os_image_composer.ospackage.resolve import SetRequest
from os_image_composer.ospackage.transport import HttpTransport

# What the vendors' templates and their package tools come down to. usr-is-merged keeps usrmerge and perl away.
_ROOTS = """
systemd systemd-sysv udev dbus bash coreutils util-linux iproute2 openssh-server ca-certificates e2fsprogs kmod
login passwd procps linux-image-cloud-amd64 dracut dracut-core systemd-boot systemd-boot-efi rpm sudo cryptsetup-bin
usr-is-merged zstd less logrotate efibootmgr systemd-resolved iputils-ping shim-unsigned cron hyperv-daemons
fdisk tzdata jq tmux python3 python3-pefile grub-common grub-pc-bin grub-efi-amd64-bin selinux-policy-default
policycoreutils selinux-utils
"""
# What Debian 12 has not got: of Debian 13 these packages alone, without what they need.
_NEWER = ("systemd-ukify",)


@dataclass(frozen=True)
class Deb:
    name: str
    sha256: str
    path: Path


def fetch(cache: Path, roots: Sequence[str] = tuple(_ROOTS.split()), newer: Sequence[str] = _NEWER) -> list[Deb]:
    """The newest Debian 12 packages for `roots` and the Essential ones, and Debian 13's of the names in `newer`, from
    the mirror of the host's settings."""
    old = _fetched(cache, "debian12", roots, frozenset())
    return [*old, *(_fetched(cache, "debian13", newer, frozenset(newer)) if newer else ())]


def _fetched(cache: Path, dist: str, roots: Sequence[str], only: frozenset[str]) -> list[Deb]:
    """The packages for `roots`, or of these `only` the ones of these names."""
    settings = load_settings(None, dict(os.environ), Path.cwd())
    distribution = load_distribution("debian", dist, "x86_64", settings.config_dir)
    family = family_for(distribution.family)
    mirrors = repositories_for(distribution, settings.mirrors, family.host_mirrors(Path("/etc")))
    request = SetRequest("lookalike", (PackageGroup("roots", tuple(roots)),), essential=not only)
    packages = PackageCache(cache / "debs")
    with HttpTransport(Network()) as transport:
        resolver = family.resolver(transport, cache / "metadata", SystemClock(), silent)
        found = resolver.resolve(mirrors, distribution.package_arch, [request])
        url = {r.name: r.url for r in found.repositories}
        wanted = [p for p in found.sets["lookalike"].packages() if not only or p.name in only]
        fetch_packages([((f"{url[p.repository]}/{p.path}",), p) for p in wanted], packages, transport)
    return [Deb(p.name, p.sha256, packages.path(p.sha256)) for p in wanted]

"""The dpkg family's door: which steps install a set of packages, and which of them are layers of the image.

The Essential set with all it depends on is the lowest layer of the image and of the chroot environment. The environment
adds the package manager to it, whose apt then orders every transaction of the image.
"""

from __future__ import annotations

from collections.abc import Iterable

from os_image_composer.build.step import Step
from os_image_composer.chroot.install_deb_packages import InstallEnvironment, InstallEssential, InstallPackages
from os_image_composer.chroot.installer import Installed, Surroundings, all_of
from os_image_composer.chroot.services import PackageFile
from os_image_composer.ospackage.lock import LockedPackage, PackageSet


def installed(image: PackageSet, chroot: PackageSet, surroundings: Surroundings) -> Installed:
    """`chroot.installer.Installer.installed` for this family."""
    image_base, chroot_base = _base(image), _base(chroot)
    essential = Step("essential", InstallEssential(image_base, surroundings))
    # The same packages in nearly every template; only a pinned version sets them apart.
    own = essential
    if chroot_base != image_base:
        own = Step("chroot-essential", InstallEssential(chroot_base, surroundings))
    manager = _without(chroot.packages(), chroot_base)
    environment = Step("chroot-environment", InstallEnvironment(manager, surroundings), all_of("lower", [own]))

    layers = [essential]
    for transaction in image.transactions:
        packages = _without(transaction.packages, image_base)
        if packages:
            inputs = (*all_of("lower", layers), *all_of("chroot", [own, environment]))
            layers.append(Step(f"packages:{transaction.label}", InstallPackages(packages, surroundings), inputs))
    environments = [environment] if own is essential else [own, environment]
    return Installed((essential, *environments, *layers[1:]), tuple(layers))


def _base(packages: PackageSet) -> tuple[PackageFile, ...]:
    """The essential packages and all they depend on, sorted by name."""
    by_name = {p.name: p for p in packages.packages()}
    base: dict[str, LockedPackage] = {}
    pending = [p for p in by_name.values() if p.essential]
    while pending:
        package = pending.pop()
        if package.name not in base:
            base[package.name] = package
            pending += [by_name[name] for name in package.depends if name in by_name]
    return tuple(PackageFile.of(base[name]) for name in sorted(base))


def _without(packages: Iterable[LockedPackage], base: tuple[PackageFile, ...]) -> tuple[PackageFile, ...]:
    known = set(base)
    return tuple(file for file in map(PackageFile.of, packages) if file not in known)

"""The rpm family's door: which steps install a set of packages, and which of them are layers of the image.

A first environment is only unpacked. Its rpm installs the same packages again, with their scriptlets, into an empty
root: that is the chroot environment, and the first is in no image. The rpm of the chroot environment then installs
every transaction of the image, the lowest into an empty root.
"""

from __future__ import annotations

from os_image_composer.build.step import Step
from os_image_composer.chroot.install_rpm_packages import InstallTransaction
from os_image_composer.chroot.installer import Installed, Surroundings, all_of
from os_image_composer.chroot.services import PackageFile
from os_image_composer.chroot.unpack import UnpackPackages
from os_image_composer.ospackage.lock import PackageSet

# Has the links of merged /usr, which must be there before a file is unpacked through them.
_FIRST = "filesystem"


def installed(image: PackageSet, chroot: PackageSet, surroundings: Surroundings) -> Installed:
    """`chroot.installer.Installer.installed` for this family."""
    packages = tuple(sorted(map(PackageFile.of, chroot.packages()), key=lambda p: (p.name != _FIRST, p)))
    unpacked = Step("unpacked-environment", UnpackPackages(packages))
    action = InstallTransaction(tuple(sorted(packages)), surroundings)
    environment = Step("chroot-environment", action, all_of("chroot", [unpacked]))
    layers: list[Step] = []
    for transaction in image.transactions:
        files = tuple(sorted(map(PackageFile.of, transaction.packages)))
        inputs = (*all_of("lower", layers), *all_of("chroot", [environment]))
        layers.append(Step(f"packages:{transaction.label}", InstallTransaction(files, surroundings), inputs))
    return Installed((unpacked, environment, *layers), tuple(layers))

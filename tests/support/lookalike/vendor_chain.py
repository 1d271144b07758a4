"""Azure Linux's look-alike with signed boot files where the vendor's packages have them, by its specs of branch 3.0:
shim.spec, systemd-boot-signed.spec, kernel-uki-signed.spec.

shim and its key manager are Debian's, signed by Microsoft and Debian. systemd-boot and the unified kernel image are
signed with a key of the test's own, which stands for the vendor's: a firmware whose db has it beside Microsoft's takes
all three. Nothing here comes from the vendor.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from os_image_composer.signing.authenticode import signed_program
from os_image_composer.signing.key_files import FileKey
from support.lookalike import convert, debian
from support.lookalike.made import AZL3, EMT3, Lookalikes, cache_folder
from support.lookalike.recipe import Kitchen, Recipe
from support.lookalike.repository import index, sign, signed

LOADER = "/usr/lib/systemd/boot/efi/systemd-bootx64.efi"
_SHIM = ("shim-signed", "shim-helpers-amd64-signed")
_REPLACED = ("shim-3.0", "systemd-boot-efi-")


def with_vendor_chain(made: Lookalikes, root: Path, uki: bytes, release: str, signer: FileKey) -> Lookalikes:
    """The look-alikes of `made` below `root`; Azure Linux's has `uki`, whose kernel is `release`, as kernel-uki."""
    kitchen = Kitchen(root / "kitchen")
    rpms = [_shim(kitchen), _systemd_boot(kitchen, signer), _kernel_uki(kitchen, uki, release, signer)]
    shutil.copytree(made.root / AZL3 / "Packages", root / AZL3 / "Packages", copy_function=os.link)
    for rpm in (root / AZL3).rglob("*.rpm"):
        if rpm.name.startswith(_REPLACED):
            rpm.unlink()
    for rpm in rpms:
        place = root / AZL3 / "Packages" / rpm.name.partition("-")[2]
        place.write_bytes(signed(rpm.read_bytes(), made.keys[AZL3]))
    index(root / AZL3)
    sign(root / AZL3, made.keys[AZL3])
    (root / EMT3).mkdir(parents=True)
    shutil.copy(made.root / EMT3 / "RPM-GPG-KEY", root / EMT3)
    return Lookalikes(root, made.keys)


def _shim(kitchen: Kitchen) -> Path:
    debs = {deb.name: deb.path for deb in debian.fetch(cache_folder(), _SHIM, ())}
    shim = convert.file_of(debs["shim-signed"], "/usr/lib/shim/shimx64.efi.signed")
    helpers = {n: convert.file_of(debs[_SHIM[1]], f"/usr/lib/shim/{n}x64.efi.signed") for n in ("fb", "mm")}
    recipe = Recipe("shim", "15.8", "3.azl3", arch="x86_64")
    recipe.file("/boot/efi/EFI/BOOT/bootx64.efi", shim).file("/boot/efi/EFI/BOOT/fbx64.efi", helpers["fb"])
    recipe.file("/boot/efi/EFI/azurelinux/shimx64.efi", shim)
    recipe.file("/boot/efi/EFI/azurelinux/mmx64.efi", helpers["mm"])
    return kitchen.build(recipe, kitchen.key(recipe))


def _systemd_boot(kitchen: Kitchen, signer: FileKey) -> Path:
    """Debian's package with its boot loader signed, and a copy of that under the name that shim looks for."""
    debs = debian.fetch(cache_folder())
    (deb,) = [d for d in debs if d.name == "systemd-boot-efi"]
    recipe = convert.convert(convert.control(deb.path), deb.path, {d.name for d in debs})
    tree = kitchen.cache / "tree"
    tree.mkdir()
    convert.unpack(recipe, deb.path, tree)
    loader = signed_program(convert.file_of(deb.path, LOADER), signer, "systemd-boot")
    recipe.file(LOADER, loader).file("/boot/efi/EFI/BOOT/grubx64.efi", loader)
    return kitchen.build(recipe, kitchen.key(recipe), tree)


def _kernel_uki(kitchen: Kitchen, uki: bytes, release: str, signer: FileKey) -> Path:
    program, name = signed_program(uki, signer, "UKI"), f"vmlinuz-uki-{release}.efi"
    recipe = Recipe("kernel-uki", release.replace("-", "."), "1.azl3", arch="x86_64")
    recipe.file(f"/boot/{name}", program, 0o600).file(f"/boot/efi/EFI/Linux/{name}", program, 0o600)
    recipe.link(f"/usr/lib/modules/{release}/vmlinuz-uki.efi", f"/boot/{name}")
    return kitchen.build(recipe, kitchen.key(recipe))

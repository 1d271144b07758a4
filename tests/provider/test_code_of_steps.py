"""Which steps a module's code is part of: they need a new version, or a word that their output is the same, when it
changes (`scripts/accept-step-sources`). Other changes that make steps run again are in `test_honest_ids.py`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from support.step_sources import PACKAGE, step_files

GRUB_EFI = ("make-grub-efi", "chain-grub-efi", "place-vendor-chain")
LIVE_BOOT = ("make-live-boot", "make-signed-live-boot")
INITRD_IMAGE = ("prepare-initrd-root", "write-initrd-image", "copy-kernel", "write-start-example")
LOADERS = ("make-uki", "make-entries", *GRUB_EFI, "make-grub-bios", "place-boot-files")
LABELLING = {"compute-labels", "configure-os", "write-disk", "write-root-filesystem", "pack-tar"}
# By module. Others that it may be named in have their reasons in step_sources.
CODE = {
    "chroot/install_deb_packages.py": {"install-essential", "install-environment", "install-packages"},
    "chroot/install_rpm_packages.py": {"install-transaction"},
    "chroot/install_place.py": {
        *("install-essential", "install-environment", "install-packages", "install-transaction"),
    },
    "chroot/unpack.py": {"unpack-packages"},
    "image/accounts.py": {"configure-os"},
    "image/databases.py": {"configure-os"},
    "image/keyboard.py": {"configure-os"},
    "image/localization.py": {"configure-os"},
    "image/network.py": {"configure-os"},
    "image/placed_files.py": {"configure-os"},
    "image/units.py": {"configure-os"},
    "image/projection.py": {"project-configuration"},
    "image/initrd.py": {"make-initrd", *LOADERS, *LIVE_BOOT},
    "image/kernel.py": {"make-initrd", *LOADERS, *LIVE_BOOT, *INITRD_IMAGE, *LABELLING},
    "image/selinux.py": LABELLING,
    "formats/file_contexts.py": LABELLING,
    "image/uki.py": {"make-uki"},
    "image/ukify.py": {"make-uki", "make-signed-live-boot"},
    "image/boot_files.py": {
        *(*LOADERS, *LIVE_BOOT, "write-squashfs", "sign-boot", "write-disk", "write-iso"),
        *("format-verity", "format-live-verity"),
    },
    "image/bios_boot.py": {"write-disk"},
    "image/loader_systemd.py": {"make-uki", "make-entries", "make-signed-live-boot", *GRUB_EFI},
    "image/loader_entries.py": {"make-entries"},
    "image/loader_grub_efi.py": set(GRUB_EFI),
    "image/loader_grub_bios.py": {"make-grub-bios", "place-boot-files"},
    "image/grub_program.py": {*GRUB_EFI, "make-grub-bios", "place-boot-files", *LIVE_BOOT},
    "image/grub_config.py": {*GRUB_EFI, "make-grub-bios", "place-boot-files", *LIVE_BOOT},
    "image/kernel_files.py": {"make-entries", *GRUB_EFI, "make-grub-bios", "place-boot-files", *LIVE_BOOT},
    "image/sign_boot.py": {"sign-boot"},
    "image/enrolment.py": {"make-enrolment"},
    "signing/authenticode.py": {"sign-boot"},
    "formats/uefi_keys.py": {"make-enrolment", "sign-boot"},
    "image/pe.py": {"make-uki", "make-signed-live-boot"},
    "image/pack_job.py": {"compress", "pack-disk", "pack-tar"},
    "image/pack_compress.py": {"compress"},
    "image/pack_tar.py": {"pack-tar"},
    "image/tar_labels.py": {"pack-tar"},
    "image/pack_disk.py": {"pack-disk"},
    "image/format_vhd.py": {"pack-disk"},
    "image/format_vhdx.py": {"pack-disk"},
    "image/format_vmdk.py": {"pack-disk"},
    "image/format_vdi.py": {"pack-disk"},
    "image/block_map.py": {"write-block-map"},
    "formats/needed_space.py": {"write-block-map"},
    "image/ext4.py": {"write-disk", "write-root-filesystem"},
    "image/write_packed.py": {"write-root-filesystem"},
    "image/root_filesystem.py": {"write-root-filesystem"},
    "image/root_files.py": {
        *("write-root-filesystem", "format-verity", "make-uki", "write-disk"),
        *("format-live-verity", "make-signed-live-boot", "write-iso"),
    },
    "image/verity.py": {"format-verity", "format-live-verity"},
    "image/fat.py": {"write-disk", "write-iso"},
    "image/live_boot.py": {"make-live-boot"},
    "image/live_boot_signed.py": {"make-signed-live-boot"},
    "image/live_grub.py": set(LIVE_BOOT),
    "image/live_menu.py": set(LIVE_BOOT),
    "image/medium.py": {*LIVE_BOOT, "write-squashfs", "write-iso", "format-verity", "format-live-verity"},
    "image/medium_digest.py": {"write-iso"},
    "image/carried_files.py": {"write-iso"},
    "image/host_file.py": {"configure-os", "write-iso"},
    "image/attributes.py": {"write-squashfs", "write-root-filesystem", *INITRD_IMAGE},
    "image/squashfs.py": {"write-squashfs", "write-root-filesystem"},
    "image/initrd_image.py": set(INITRD_IMAGE),
    "report/spdx.py": {"read-licences", "write-bill"},
    "report/cyclonedx.py": {"read-licences", "write-bill"},
    "ospackage/deb/copyright.py": {"read-licences", "write-bill"},
    "ospackage/rpm/licence.py": {"read-licences", "write-bill"},
    "ospackage/deb/archive.py": {"sandbox"},
    "ospackage/rpm/payload.py": {"sandbox"},
    "chroot/sandbox.py": {"sandbox"},
    "chroot/asking.py": {"sandbox"},
    "chroot/feeding.py": {"sandbox"},
    "chroot/helper/inside/main.py": {"sandbox"},
    "chroot/helper/inside/mounts.py": {"sandbox"},
    "chroot/helper/inside/init.py": {"sandbox"},
    "chroot/helper/inside/unpack.py": {"sandbox"},
    "chroot/helper/inside/files.py": {"sandbox"},
    "chroot/helper/inside/cpio.py": {"sandbox"},
}


@pytest.mark.parametrize("module", CODE)
def test_changed_code_asks_for_a_new_version_of_the_steps_that_it_is_part_of(module: str) -> None:
    files = step_files()
    assert {kind for kind, paths in files.items() if PACKAGE / module in paths} == CODE[module]


def test_no_module_that_a_step_runs_is_without_a_watch() -> None:
    """All that is in the folders in which steps are written; what only plans or starts them is named."""
    watched = set[Path]().union(*step_files().values())
    modules = {p for folder in ("chroot", "image") for p in (PACKAGE / folder).rglob("*.py") if p.name != "__init__.py"}
    assert {str(path.relative_to(PACKAGE)) for path in modules - watched} == {
        *("chroot/doctor_store.py", "chroot/self_test.py"),
        *("chroot/install_deb.py", "chroot/install_rpm.py", "image/room.py", "image/state.py", "image/unpack_disk.py"),
    }

"""Where the files of a live system's medium are: in the boot step's folder, and on the medium."""

from __future__ import annotations

from os_image_composer.image.boot_files import BIOS

#: In the boot step's folder a tree: the files of the ISO's own filesystem.
MEDIUM = "medium"
#: The boot sector for a disk, which finds GRUB inside the ISO.
HYBRID = f"{BIOS}/boot_hybrid.img"
#: On the medium: GRUB as a BIOS starts it from a CD, and as that sector finds it on a disk.
EL_TORITO = "boot/grub/eltorito.img"
#: On the medium: kernel, initrd and root filesystem; and the hash tree over that, where it is sealed.
LIVE_FOLDER = "live"
SQUASHFS = "root.squashfs"
SEAL = "root.verity"
#: On the medium: what it carries beside the system.
IMAGES = "images"

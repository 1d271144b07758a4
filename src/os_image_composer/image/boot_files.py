"""The shape of the folder that the boot step leaves, and that signing and the disk take up."""

from __future__ import annotations

# A tree: every file of the EFI system partition under the path that it has there.
ESP = "esp"

# Where systemd-boot looks for unified kernel images, and for its own settings (Boot Loader Specification).
UKI_FOLDER = "EFI/Linux"
LOADER_CONF = "loader/loader.conf"

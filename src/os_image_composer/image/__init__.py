"""From package layers to an image: configuration, initrd, UKI, disk. Steps are values of `build.step`; programs run
in `chroot`'s sandbox only. No package manager is known here, and no loop device, mount or host tool is used."""

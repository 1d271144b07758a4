#!/bin/bash
# A module of the initrd for systems that run from the medium that they are started from: live-root.sh mounts the medium,
# the root filesystem in it, and what is changed over that.

check() {
    return 255 # only where it is asked for
}

depends() {
    echo base
}

installkernel() {
    instmods iso9660 isofs squashfs loop overlay ext4 sr_mod cdrom sd_mod usb_storage uas
}

install() {
    inst_multiple cut dd losetup mkdir mount readlink sha256sum tail tr
    inst_hook cmdline 30 "$moddir/live-parse.sh"
    inst_hook mount 20 "$moddir/live-mount.sh"
    inst_script "$moddir/live-check.sh" /usr/lib/image-live/live-check.sh
    inst_script "$moddir/live-root.sh" /usr/lib/image-live/live-root.sh
    dracut_need_initqueue # else nobody waits for the medium
}

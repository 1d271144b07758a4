#!/bin/bash
# A module of the initrd for images whose root cannot be written to: state.sh before the system is started from it.

check() {
    return 255 # only where it is asked for
}

depends() {
    echo systemd
}

installkernel() {
    instmods overlay ext4
}

install() {
    inst_multiple cp e2fsck mkdir mount mv partx readlink rm sfdisk sync umount
    inst_multiple -o /usr/lib/systemd/systemd-growfs resize2fs
    inst_script "$moddir/state.sh" /usr/lib/image-state/state.sh
    inst_simple "$moddir/state.conf" /usr/lib/image-state/state.conf
    cp -rp "$moddir/units" "$initdir/usr/lib/image-state/"
    inst_simple "$moddir/image-state.service" "$systemdsystemunitdir/image-state.service"
    inst_simple "$moddir/device.conf" "$systemdsystemunitdir/image-state.service.d/device.conf"
    mkdir -p "$initdir$systemdsystemunitdir/initrd-root-fs.target.requires"
    ln -s ../image-state.service "$initdir$systemdsystemunitdir/initrd-root-fs.target.requires/image-state.service"
}

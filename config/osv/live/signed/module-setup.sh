#!/bin/bash
# A module of the initrd for live systems of which one signed program starts every entry of the boot loader's menu: it
# learns from the boot loader which of them it was, because the program's signed command line is the same for all. And it
# mounts the root filesystem sealed where that command line has its root hash.

check() {
    return 255 # only where it is asked for
}

depends() {
    echo image-live
}

installkernel() {
    hostonly='' instmods efivarfs
}

install() {
    inst_multiple head losetup mkdir mount tail tr
    inst_hook cmdline 20 "$moddir/live-choose.sh" # before live-parse.sh
    inst_hook mount 10 "$moddir/live-mount-sealed.sh" # before live-mount.sh
    inst_script "$moddir/live-choice.sh" /usr/lib/image-live/live-choice.sh
    inst_script "$moddir/live-sealed.sh" /usr/lib/image-live/live-sealed.sh
}

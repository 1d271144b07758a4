#!/bin/sh
# Sourced by dracut, before the command line is looked at: with image.live.choice the boot loader's choice goes on in it.
if getargbool 0 image.live.choice; then
    image_live_variables=/sys/firmware/efi/efivars
    if ! ismounted "$image_live_variables"; then
        modprobe -q efivarfs
        mount -t efivarfs -o ro,nosuid,nodev,noexec efivarfs "$image_live_variables"
    fi
    image_live_sealed=no
    if getarg image.live.verity= >/dev/null; then
        image_live_sealed=yes
    fi
    mkdir -p /etc/cmdline.d
    /usr/lib/image-live/live-choice.sh \
        "$image_live_variables/LoaderEntrySelected-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f" "$image_live_sealed" \
        >/etc/cmdline.d/20-image-live-choice.conf
fi

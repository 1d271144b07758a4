#!/bin/sh
# Sourced by dracut: what the kernel's command line says of the medium, before dracut looks for a root of its own.
#   image.live=LABEL           the medium has this label
#   image.live.changes=LABEL   changes are kept on the partition with this label, not in memory
image_live=$(getarg image.live=) || image_live=
if [ -n "$image_live" ]; then
    root=image-live
    rootok=1
    wait_for_dev "/dev/disk/by-label/$image_live"
    image_live_changes=$(getarg image.live.changes=) || image_live_changes=
    if [ -n "$image_live_changes" ]; then
        wait_for_dev "/dev/disk/by-label/$image_live_changes"
    fi
fi

#!/bin/sh
# Sourced by dracut: mounts the root, or stops.
image_live=$(getarg image.live=) || image_live=
if [ -n "$image_live" ] && ! ismounted "$NEWROOT"; then
    image_live_changes=$(getarg image.live.changes=) || image_live_changes=
    image_live_check=no
    if getargbool 0 image.live.check; then
        image_live_check=yes
    fi
    /usr/lib/image-live/live-root.sh "$NEWROOT" "$image_live" "$image_live_check" "$image_live_changes" ||
        die "the live system cannot be started"
fi

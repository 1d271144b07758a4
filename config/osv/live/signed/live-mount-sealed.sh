#!/bin/sh
# Sourced by dracut, before live-mount.sh, which then finds the root mounted: with image.live.verity=HASH the root is
# mounted sealed, or the system stops.
image_live=$(getarg image.live=) || image_live=
image_live_verity=$(getarg image.live.verity=) || image_live_verity=
if [ -n "$image_live" ] && [ -n "$image_live_verity" ] && ! ismounted "$NEWROOT"; then
    image_live_check=no
    if getargbool 0 image.live.check; then
        image_live_check=yes
    fi
    /usr/lib/image-live/live-sealed.sh "$NEWROOT" "$image_live" "$image_live_check" "$image_live_verity" ||
        die "the live system cannot be started"
fi

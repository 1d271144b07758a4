#!/bin/sh
# live-sealed.sh ROOT LABEL CHECK HASH: as live-root.sh, for a medium whose root filesystem is sealed. HASH is the root
# hash, from the signed command line; what differs from it is never read: a changed block stops the system, as in
# docs/immutable.md. Changes are in memory only.
set -eu
root=$1 label=$2 check=$3 hash=$4

medium=/run/live/medium
system=/run/live/system
upper=/run/live/changes

say() {
    echo "image-live: $*" >/dev/console
}

refuse() {
    say "$*"
    exit 1
}

# The disk of the label, and what is mounted of it: see live-root.sh.
device=$(readlink -f "/dev/disk/by-label/$label")
[ -b "$device" ] || refuse "there is no medium with the label $label"
block=$(readlink -f "/sys/class/block/${device##*/}")
if [ -e "$block/partition" ]; then
    block=${block%/*}
fi
disk=${block##*/}
mounted=/dev/$disk
for number in 1 p1; do
    if [ -e "$block/$disk$number/partition" ]; then
        mounted=/dev/$disk$number
    fi
done

mkdir -p "$medium" "$system" "$upper"
if [ "$check" = yes ]; then
    say "checking the medium, which takes a while"
    words=$(/usr/lib/image-live/live-check.sh "/dev/$disk" | tail -n 1)
    say "$words"
    [ "$words" = "the medium is whole" ] || exit 1
fi
mount -t iso9660 -o ro,nodev,nosuid "$mounted" "$medium" || refuse "the medium cannot be mounted"
data=$(losetup --read-only --show --find "$medium/live/root.squashfs") || refuse "there is no system on the medium"
tree=$(losetup --read-only --show --find "$medium/live/root.verity") || refuse "the system on the medium has no hash tree"
/usr/lib/systemd/systemd-veritysetup attach live-root "$data" "$tree" "$hash" panic-on-corruption ||
    refuse "the system on the medium is not the one that was signed"
mount -t squashfs -o ro /dev/mapper/live-root "$system" || refuse "the system on the medium cannot be mounted"
mount -t tmpfs -o mode=0755 live-changes "$upper"
mkdir -p "$upper/live/upper" "$upper/live/work"
mount -t overlay -o "lowerdir=$system,upperdir=$upper/live/upper,workdir=$upper/live/work" live-root "$root" ||
    refuse "changes cannot be laid over the system"

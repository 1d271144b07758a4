#!/bin/sh
# live-root.sh ROOT LABEL CHECK CHANGES: mount the live system at ROOT. LABEL is that of the medium; with CHECK=yes all
# of the medium is read first; CHANGES is the label of the partition for what is changed, empty for memory.
# docs/live-iso.md says what is where.
set -eu
root=$1 label=$2 check=$3 changes=$4

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

# On a stick the label is that of the disk and of its first partition, which begins where the disk's own volume
# descriptors lie and has descriptors of its own. The digest is over the disk; what is mounted is the partition, or else
# no other partition of the disk could be.
device=$(readlink -f "/dev/disk/by-label/$label")
[ -b "$device" ] || refuse "there is no medium with the label $label"
block=$(readlink -f "/sys/class/block/${device##*/}")
if [ -e "$block/partition" ]; then
    block=${block%/*}
fi
disk=${block##*/}
device=/dev/$disk
mounted=$device
for number in 1 p1; do
    if [ -e "$block/$disk$number/partition" ]; then
        mounted=/dev/$disk$number
    fi
done

mkdir -p "$medium" "$system" "$upper"
if [ "$check" = yes ]; then
    say "checking the medium, which takes a while"
    words=$(/usr/lib/image-live/live-check.sh "$device" | tail -n 1)
    say "$words"
    [ "$words" = "the medium is whole" ] || exit 1
fi
mount -t iso9660 -o ro "$mounted" "$medium" || refuse "the medium cannot be mounted"
mount -t squashfs -o ro,loop "$medium/live/root.squashfs" "$system" || refuse "the system on the medium cannot be mounted"
if [ -n "$changes" ]; then
    [ -e "/dev/disk/by-label/$changes" ] || refuse "there is no partition with the label $changes, on which changes would be kept"
    mount "/dev/disk/by-label/$changes" "$upper" || refuse "the partition with the label $changes cannot be mounted"
    say "changes are kept on the partition with the label $changes"
else
    mount -t tmpfs -o mode=0755 live-changes "$upper"
fi
mkdir -p "$upper/live/upper" "$upper/live/work"
mount -t overlay -o "lowerdir=$system,upperdir=$upper/live/upper,workdir=$upper/live/work" live-root "$root" ||
    refuse "changes cannot be laid over the system: does the partition have ext4?"

#!/bin/sh
# The root cannot be written to; what a running system changes lives on the data partition. Runs in the initrd, once the
# root is mounted at /sysroot and before anything is started from it. What it leaves is in place before any unit of the
# system is looked at. docs/immutable.md says what is where, and why.
set -eufC
. /usr/lib/image-state/state.conf # DATA OPTIONS KEPT VERIFIED GROW

root=/sysroot
data=/run/state
original=/run/image-state

say() {
    echo "image-state: $*"
}

refuse() {
    echo "image-state: $*" >&2
    exit 1
}

# grow PARTITION: as far as the disk goes, where that is more than the mebibytes at its end that nobody uses. Written as
# libfdisk does it: the copy of the table first, so that one of the two is whole at any time.
grow() {
    place=$(readlink -f "/sys/class/block/${1##*/}")
    read -r number <"$place/partition"
    read -r start <"$place/start"
    read -r size <"$place/size"
    read -r whole <"${place%/*}/size" # all in sectors of 512 bytes
    [ $((whole - start - size)) -gt 8192 ] || return 0
    disk=/dev/${place%/*}
    disk=/dev/${disk##*/}
    say "growing partition $number of $disk"
    echo ", +" | sfdisk --quiet --no-reread --no-tell-kernel --wipe never -N "$number" "$disk"
    partx --update --nr "$number" "$disk"
}

part=$(readlink -f "/dev/disk/by-partuuid/$DATA")
if [ "$GROW" = yes ]; then
    grow "$part" || say "the data partition could not be grown"
fi

# Exit statuses up to 3: whole, or mended (e2fsck(8)).
status=0
e2fsck -p "$part" || status=$?
[ "$status" -lt 4 ] || refuse "the data partition is damaged: see docs/immutable.md, Recovery"
mkdir -p "$data"
mount -t ext4 -o "$OPTIONS" "$part" "$data" || refuse "the data partition cannot be mounted"
mount --make-private "$data" # else what is mounted below a kept folder is mounted here, too
if [ -x /usr/lib/systemd/systemd-growfs ]; then
    /usr/lib/systemd/systemd-growfs "$data" || say "the file system of the data partition could not be grown"
else
    resize2fs "$part" || say "the file system of the data partition could not be grown"
fi

if [ -e "$data/reset" ]; then
    say "back to the state of the first start"
    for name in $KEPT etc; do
        rm -rf "${data:?}/$name"
    done
    sync
    rm -rf "$data/reset"
fi

# The root once more, without what will be laid over it here: mounts are shared from the first on, and would follow.
mkdir -p "$original"
mount --bind "$root" "$original"
mount --make-private "$original"

# The first start copies what the root has. A copy counts once it has its name, and it gets that when all of it is on
# the disk, so a power cut in between only makes the next start begin again.
for name in $KEPT; do
    if [ ! -d "$data/$name" ]; then
        say "first start: copying /$name"
        rm -rf "$data/$name.new"
        mkdir -p "$data/${name%"${name##*/}"}"
        cp -a "$original/$name" "$data/$name.new" || refuse "/$name does not fit on the data partition"
        sync
        mv "$data/$name.new" "$data/$name"
        sync
    fi
    mount --bind "$data/$name" "$root/$name"
done

# What describes the root stays the root's: a package database that could be written to would say what is not so.
for name in $VERIFIED; do
    if [ -d "$original/$name" ]; then
        mkdir -p "$root/$name"
        mount --bind "$original/$name" "$root/$name"
    fi
done

# Files of /etc that nobody changed stay the root's, also those of a newer root.
# What lies over it is a folder as /etc is: of its owner, mode and label.
if [ ! -d "$data/etc/upper" ]; then
    rm -rf "$data/etc.new" "$data/etc"
    mkdir -p "$data/etc.new/work"
    cp -a "$original/etc" "$data/etc.new/upper" || refuse "/etc does not fit on the data partition"
    (
        set +f
        rm -rf "$data/etc.new/upper"/* "$data/etc.new/upper"/.[!.]*
    )
    sync
    mv "$data/etc.new" "$data/etc"
    sync
fi
over="lowerdir=$original/etc,upperdir=$data/etc/upper,workdir=$data/etc/work"
mount -t overlay -o "$over,index=off,metacopy=off,redirect_dir=off,xino=off" overlay "$root/etc"
umount "$original"

# What is mounted here stays until the end of the system.
mkdir -p /run/systemd/system
cp -r /usr/lib/image-state/units/. /run/systemd/system/

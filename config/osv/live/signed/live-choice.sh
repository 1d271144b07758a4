#!/bin/sh
# live-choice.sh VARIABLE SEALED: which words the chosen entry of the menu adds to the kernel's command line. VARIABLE is
# the file of systemd-boot's EFI variable LoaderEntrySelected: four bytes of attributes, then the entry's name in UTF-16.
#
# Nobody has signed the menu, nor this variable. So a name chooses among what is known here and says nothing else; any
# other name, and no variable at all, is the plain live system. With SEALED=yes no changes are kept: who can write to the
# partition that they are on would decide what runs.
set -eu
sealed=$2
# head comes first: in efivarfs nothing can seek, and tail would stop at that.
chosen=$([ ! -r "$1" ] || head -c 132 "$1" | tail -c +5 | tr -d '\0')
case $chosen in
live-changes.conf) [ "$sealed" = yes ] || echo image.live.changes=LIVE_CHANGES ;;
live-check.conf) echo image.live.check ;;
esac

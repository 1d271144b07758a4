#!/bin/sh
# live-choice.sh VARIABLE: which words the chosen entry of the menu adds to the kernel's command line. VARIABLE is the file
# of systemd-boot's EFI variable LoaderEntrySelected: four bytes of attributes, then the entry's name in UTF-16.
#
# Nobody has signed the menu, nor this variable. So a name chooses among what is known here and says nothing else; any
# other name, and no variable at all, is the plain live system.
set -eu
chosen=$([ ! -r "$1" ] || tail -c +5 "$1" | head -c 128 | tr -d '\0')
case $chosen in
live-changes.conf) echo image.live.changes=LIVE_CHANGES ;;
live-check.conf) echo image.live.check ;;
esac

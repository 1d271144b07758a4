#!/bin/sh
# live-check.sh MEDIUM: read all of a medium, or of the file of an ISO, and compare it with the digest that is in it.
#
# The digest stands in the field of the volume descriptor that is kept for applications (ECMA-119 8.4.32), as the words
# SHA-256, the digest, and the offset at which what it covers ends. It covers everything from the volume descriptors on
# but this field itself.
set -eu
medium=$1
start=32768
field=$((start + 883))

# part START LENGTH: bytes of the medium on standard output
part() {
    dd if="$medium" bs=1M iflag=skip_bytes,count_bytes,fullblock skip="$1" count="$2" 2>/dev/null
}

words=$(part "$field" 128 | tr -d '\0')
# shellcheck disable=SC2086 # the field is words
set -- $words
if [ "${1-}" != SHA-256 ] || [ $# -lt 3 ]; then
    echo "this medium has no digest: it is damaged, or another program made it"
    exit 1
fi
wanted=$2 end=$3
case $end in
'' | *[!0-9]*)
    echo "the digest of this medium is damaged"
    exit 1
    ;;
esac
echo "reading $((end / 1048576)) MiB of the medium"
found=$({
    part "$start" 883
    part $((field + 512)) $((end - field - 512))
} | sha256sum | cut -d ' ' -f 1)
if [ "$found" != "$wanted" ]; then
    echo "this medium is damaged: write it once more, or use another one"
    exit 1
fi
echo "the medium is whole"

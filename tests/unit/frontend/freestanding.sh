#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Fails if the archive needs a symbol beyond those that a compiler may call by itself.  freestanding.sh LIBLVIF.A
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
nm --defined-only "$1" | awk 'NF == 3 { print $3 }' | sort -u >"$work/defined"
nm --undefined-only "$1" | awk '$1 == "U" { print $2 }' | sort -u >"$work/needed"
grep -qx lvif_poll "$work/defined" || { echo "$1 does not define lvif_poll: not the library"; exit 1; }
grep -qx memcpy "$work/needed" || { echo "$1 needs no memcpy: the symbols were not read"; exit 1; }
comm -13 "$work/defined" "$work/needed" | grep -vxE 'mem(cpy|set|move|cmp)|_GLOBAL_OFFSET_TABLE_' >"$work/outside" || true
if [ -s "$work/outside" ]; then
    echo "liblvif needs more than memcpy, memset, memmove and memcmp:"
    cat "$work/outside"
    exit 1
fi

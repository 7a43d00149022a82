#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Fails if the archive uses a vector or floating point register, or if nothing was read of it.  general_registers.sh LIBRARY.A
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
objdump --no-show-raw-insn -d "$1" >"$work/code"
grep -q '<lvif_channel_fired>:' "$work/code" || { echo "$1 does not have the event handler"; exit 1; }
grep -q '%r[sb]p' "$work/code" || { echo "$1: no instruction was read"; exit 1; }
if grep -nE '%([xyz]mm[0-9]|mm[0-7]|st\b)' "$work/code"; then
    echo "these registers are not saved where event handlers run"
    exit 1
fi

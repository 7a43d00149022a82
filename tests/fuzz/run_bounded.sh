#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Runs a fuzz target for FUZZ_SECONDS (default 10) over a corpus of its own.  run_bounded.sh TARGET SEED_FOLDER
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/corpus"
if [ -d "$2" ]; then cp -r "$2/." "$work/corpus"; fi
# Seeds of every size, so that what reads a list of calls gets long ones from the start.
for bytes in 1 64 512 4096; do
    head -c "$bytes" /dev/zero >"$work/corpus/zeros-$bytes"
    awk -v n="$bytes" 'BEGIN { x = n; for (i = 0; i < n; i++) { x = (x * 1103515245 + 12345) % 2147483648; printf "%c", 32 + int(x / 65536) % 95 } }' \
        >"$work/corpus/text-$bytes"
done
"$1" -len_control=20 -max_total_time="${FUZZ_SECONDS:-10}" -rss_limit_mb=1024 -artifact_prefix="$work/" "$work/corpus" >"$work/log" 2>&1 || {
    cat "$work/log"
    for found in "$work"/crash-* "$work"/leak-* "$work"/timeout-* "$work"/oom-*; do
        [ -f "$found" ] && { echo "input $(basename "$found"), base64:"; base64 "$found"; }
    done
    exit 1
}
tail -n 1 "$work/log"

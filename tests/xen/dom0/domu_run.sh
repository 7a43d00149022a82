#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Runs a shell command in a domU over xenstore: domu_run.sh DOMID NUMBER TIMEOUT_S <COMMAND; its output and exit status are ours.
# The other side is domu/init.sh. Numbers are used once per domain.
data=/local/domain/$1/data
xenstore-write "$data/command/$2" "$(base64 -w0)"
xenstore-write "$data/next" "$2"
end=$((SECONDS + $3))
until status=$(xenstore-read "$data/answer/$2/status" 2>/dev/null); do
    if ! xenstore-exists "$data"; then
        echo "the domain is gone"
        exit 125
    fi
    if [ $SECONDS -ge $end ]; then
        echo "no answer of the domain within $3 s"
        exit 124
    fi
    sleep 0.1
done
chunk=0
while part=$(xenstore-read "$data/answer/$2/$chunk" 2>/dev/null); do
    printf '%s' "$part" | base64 -d
    chunk=$((chunk + 1))
done
xenstore-rm "$data/answer/$2" "$data/command/$2"
exit "$status"

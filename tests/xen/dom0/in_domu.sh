#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Runs a shell command in a domU over xenstore: in_domu.sh DOMID TIMEOUT_S <COMMAND; its output and exit status are ours.
# The other side is domu/init.sh.
data=/local/domain/$1/data

# In order: a number tells the domU that the commands before it are there.
exec 9>"/run/in_domu.$1.lock"
flock 9
number=$(($(xenstore-read "$data/next" 2>/dev/null || echo 0) + 1))
xenstore-write "$data/command/$number" "$(base64 -w0)"
xenstore-write "$data/next" "$number"
exec 9>&-

# A line for each of the two at once, and whenever one changes: the answer is there, or the domain has gone.
end=$((SECONDS + $2))
coproc watch { exec xenstore-watch "$data/answer/$number/status" "$data/ready"; }
until status=$(xenstore-read "$data/answer/$number/status" 2>/dev/null); do
    if ! xenstore-exists "$data/ready"; then
        echo "the domain is gone"
        status=125
        break
    fi
    if [ $SECONDS -ge $end ] || ! read -r -t $((end - SECONDS)) -u "${watch[0]}" _; then
        echo "no answer of the domain within $2 s"
        status=124
        break
    fi
done
# Whoever ignores SIGTERM, as a lab that cleans up, has children that do; and this one holds who reads our output.
{ kill -KILL "$watch_PID"; wait "$watch_PID"; } 2>/dev/null # bash says that it was killed, now or then

chunk=0
while part=$(xenstore-read "$data/answer/$number/$chunk" 2>/dev/null); do
    printf '%s' "$part" | base64 -d
    chunk=$((chunk + 1))
done
xenstore-rm "$data/answer/$number" "$data/command/$number" 2>/dev/null
exit "$status"

# SPDX-License-Identifier: BSD-2-Clause
# What the preparation's parts share: messages, the reason not to go on, stages that are done once per content.

say() { printf 'test-xen: %s\n' "$*" >&2; }

# The lab cannot be had here: says why and what to do, ends with the exit status of a skipped test.
cannot() {
    printf 'skipped: %s\n' "$*"
    exit 77
}

# stage NAME KEY FUNCTION [OBSTACLE]: runs the function unless it has been run for this key. OBSTACLE: its failure is not ours, and means this.
stage() {
    local name=$1 key=$2 function=$3 started=$SECONDS status
    if [[ -f $work/$name.key && $(<"$work/$name.key") == "$key" ]]; then
        return
    fi
    rm -f "$work/$name.key"
    say "preparing: $name"
    set +e # in a condition bash would not stop the function at its first failure
    (set -e && "$function") >"$work/$name.log" 2>&1
    status=$?
    set -e
    if [[ $status -ne 0 ]]; then
        tail -n 20 "$work/$name.log" >&2
        [[ -z ${4:-} ]] || cannot "$4; what apt says is in $work/$name.log"
        say "the preparation of $name failed; all of it is in $work/$name.log"
        exit 1
    fi
    printf '%s\n' "$key" >"$work/$name.key"
    say "prepared: $name, $((SECONDS - started)) s"
}

digest() { sha256sum | cut -d' ' -f1; }

# apt of the lab: package lists of its own, so that the machine's know nothing of other suites.
lab_apt=()
lab_apt_options() {
    local folder=$work/apt
    mkdir -p "$folder/lists/partial" "$folder/cache/archives/partial"
    lab_apt=(-o "Dir::Etc::SourceList=$folder/sources.list" -o Dir::Etc::SourceParts=/dev/null
        -o "Dir::State::Lists=$folder/lists" -o "Dir::Cache=$folder/cache"
        -o Dir::Cache::pkgcache=pkgcache.bin -o Dir::Cache::srcpkgcache=srcpkgcache.bin -o DPkg::Lock::Timeout=300 -q)
}

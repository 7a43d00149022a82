# SPDX-License-Identifier: BSD-2-Clause
# The hypervisor with the portmap in it, built by portmap/xen: KIND is "patched", or "flask" with that module, too. Built in
# WORK/hypervisor-KIND; boot/xen-KIND is its image.

build_hypervisor() {
    local options=()
    if [[ $1 == flask ]]; then
        command -v checkpolicy >/dev/null || install_on_host checkpolicy
        options=(--flask)
    fi
    env -u WORK "$here/../../portmap/xen/build-hypervisor" "${options[@]}" "$work/hypervisor-$1"
}

# start_hypervisors KIND...: in the background, since the rest of the preparation waits for disks and the network.
start_hypervisors() {
    local kind
    for kind; do
        (set -e && build_hypervisor "$kind") >"$work/hypervisor-$kind.log" 2>&1 || exit
    done &
    hypervisors=$!
    trap 'kill $hypervisors 2>/dev/null || true' EXIT
}

# build-hypervisor itself does nothing when its result is up to date. Without a source package there are the tests on the stock one.
finish_hypervisors() {
    local kind image status=0
    wait "$hypervisors" || status=$?
    trap - EXIT
    for kind; do
        if [[ $status -eq 77 ]]; then
            say "no hypervisor with the portmap: $(tail -n 1 "$work/hypervisor-$kind.log")"
            rm -f "$work/boot/xen-$kind"
        elif [[ $status -ne 0 ]]; then
            tail -n 40 "$work/hypervisor-$kind.log" >&2
            say "portmap/xen/build-hypervisor failed; all of it is in $work/hypervisor-$kind.log"
            exit 1
        else
            image=$(ls "$work/hypervisor-$kind"/xen-*-amd64.gz)
            if [[ $image -nt $work/boot/xen-$kind ]]; then
                gzip -dc "$image" >"$work/boot/xen-$kind.part"
                mv "$work/boot/xen-$kind.part" "$work/boot/xen-$kind"
            fi
        fi
    done
}

# SPDX-License-Identifier: BSD-2-Clause
# The hypervisor with the portmap in it, built by portmap/xen into WORK/hypervisor; boot/xen-patched is its image.

patch_folder=$here/../../portmap/xen

# In the background, since the rest of the preparation waits for disks and the network.
start_hypervisor() {
    env -u WORK "$patch_folder/build-hypervisor" "$work/hypervisor" >"$work/hypervisor.log" 2>&1 &
    hypervisor=$!
    trap 'kill $hypervisor 2>/dev/null || true' EXIT
}

# build-hypervisor itself does nothing when its result is up to date. Without a source package there are the tests on the stock one.
finish_hypervisor() {
    local image status=0
    wait "$hypervisor" || status=$?
    trap - EXIT
    if [[ $status -eq 77 ]]; then
        say "no hypervisor with the portmap: $(tail -n 1 "$work/hypervisor.log")"
        rm -f "$work/boot/xen-patched"
        return
    fi
    if [[ $status -ne 0 ]]; then
        tail -n 40 "$work/hypervisor.log" >&2
        say "portmap/xen/build-hypervisor failed; all of it is in $work/hypervisor.log"
        exit 1
    fi
    image=$(ls "$work"/hypervisor/xen-*-librettos-amd64.gz)
    if [[ $image -nt $work/boot/xen-patched ]]; then
        gzip -dc "$image" >"$work/boot/xen-patched.part"
        mv "$work/boot/xen-patched.part" "$work/boot/xen-patched"
    fi
}

# SPDX-License-Identifier: BSD-2-Clause
# The hypervisor with the portmap in it, built by portmap/xen into WORK/hypervisor; boot/xen-patched is its image.

patch_folder=$here/../../portmap/xen

build_hypervisor() { env -u WORK "$patch_folder/build-hypervisor" "$work/hypervisor"; }

# build-hypervisor itself does nothing when its result is up to date.
prepare_hypervisor() {
    local image
    if ! build_hypervisor >"$work/hypervisor.log" 2>&1; then
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

# SPDX-License-Identifier: BSD-2-Clause
# From the root tree: dom0's initramfs and disk, and the initramfs that every domU starts from.

domu_modules=(xenfs xen-evtchn xen-gntdev xen-gntalloc xen-privcmd xen-netfront xen-blkfront xen-pcifront igbvf tun veth bridge
    nf_tables nft_ct unix_diag tcp_diag udp_diag inet_diag)
domu_programs=(
    /usr/bin/xenstore-{exists,list,ls,read,rm,watch,write} /usr/sbin/nginx /usr/bin/redis-server
    /sbin/ip /usr/sbin/ethtool /usr/bin/iperf3 /usr/bin/strace
)

pack_initramfs() { (cd "$1" && find . -print0 | sort -z | cpio --null --quiet -o -H newc -R 0:0) >"$2"; }

# add_modules_to FOLDER MODULE...: flat, with the order in which to load them.
add_modules_to() {
    local folder=$1 from file
    from=$work/unpacked/lib/modules/$(kernel_version)
    mkdir -p "$folder/m"
    shift
    module_files "$@" | while read -r file; do
        cp "$from/$file" "$folder/m/"
        basename "$file" >>"$folder/m/order"
    done
}

make_dom0_initramfs() {
    local folder=$work/tmp/dom0
    rm -rf "$folder"
    mkdir -p "$folder"/{bin,dev,proc,sys,mnt}
    cp "$work/root/bin/busybox" "$folder/bin/"
    add_modules_to "$folder" "${boot_modules[@]}"
    install -m 755 "$here/dom0/initramfs_init.sh" "$folder/init"
    pack_initramfs "$folder" "$work/boot/dom0.cpio"
}

make_dom0_disk() {
    install -m 755 "$here/dom0/init.sh" "$work/root/lab-init"
    rm -f "$work/dom0.ext4"
    mkfs.ext4 -q -O ^has_journal -E lazy_itable_init=1 -d "$work/root" "$work/dom0.ext4" 2500M
}

make_domu_initramfs() {
    local folder=$work/tmp/domu program
    rm -rf "$folder"
    mkdir -p "$folder"/{bin,dev,etc,proc,sys,tmp,run,root,var/log/nginx,var/lib/nginx,usr/bin,usr/sbin}
    cp "$work/root/bin/busybox" "$folder/bin/"
    cp -a "$work/root/etc/services" "$work/root/etc/protocols" "$folder/etc/" 2>/dev/null || true
    printf 'root:x:0:0:root:/root:/bin/sh\nwww-data:x:33:33::/:/bin/false\nnobody:x:65534:65534::/:/bin/false\n' >"$folder/etc/passwd"
    printf 'root:x:0:\nwww-data:x:33:\nnogroup:x:65534:\n' >"$folder/etc/group"
    for program in "${domu_programs[@]}"; do
        cp -L "$work/root$program" "$folder/bin/"
    done
    "$here/prepare/libraries.py" --root "$work/root" --to "$folder" "${domu_programs[@]/#/$work/root}"
    add_modules_to "$folder" "${domu_modules[@]}"
    install -m 755 "$here/domu/init.sh" "$folder/init"
    pack_initramfs "$folder" "$work/boot/domu.cpio"
}

make_images() {
    make_dom0_initramfs
    make_domu_initramfs
    make_dom0_disk
}

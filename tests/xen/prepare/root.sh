# SPDX-License-Identifier: BSD-2-Clause
# dom0's root tree from Debian packages, the stock hypervisor, and one kernel for all domains.

xen_release=4.17
root_packages=(
    "xen-utils-$xen_release" xenstore-utils mount netbase kmod iproute2 iputils-ping ethtool procps bridge-utils busybox-static
    python3 curl nginx-light redis-server redis-tools iperf3 tcpdump strace e2fsprogs
)
dom0_modules=(
    xen-evtchn xen-gntdev xen-gntalloc xen-privcmd xenfs xen-blkback xen-netback xen-pciback
    tun tap bridge veth macvlan 8021q loop igb igbvf e1000e uio uio_pci_generic vfio vfio-pci msr
    nf_tables nft_ct nft_chain_nat unix_diag tcp_diag udp_diag inet_diag
)
boot_modules=(virtio_pci virtio_blk ext4 9pnet_virtio 9p)

root_versions() {
    apt-cache "${lab_apt[@]}" policy "$(kernel_package)" "${root_packages[@]}" "xen-hypervisor-$xen_release-amd64" |
        grep -E '^[^ ]|^  Candidate'
}

kernel_package() { apt-cache "${lab_apt[@]}" depends linux-image-amd64 | awk '/Depends: linux-image/ { print $2; exit }'; }

make_root() {
    rm -rf "$work/root" "$work/boot" "$work/unpacked"
    mkdir -p "$work/boot" "$work/unpacked" "$work/debs"
    mmdebstrap --mode=root --variant=essential --format=directory --include="$(IFS=,; echo "${root_packages[*]}")" \
        --aptopt="$work/apt/acquire.conf" --skip=cleanup/apt/lists \
        --dpkgopt=force-unsafe-io --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
        "$(. /etc/os-release && printf '%s' "$VERSION_CODENAME")" "$work/root" "$work/apt/release.list"
    make_boot
    add_modules
}

# boot/xen-stock and boot/vmlinux. The kernel is uncompressed: Xen's own decompressor takes ten seconds per domain under emulation.
make_boot() {
    (cd "$work/debs" && rm -f ./*.deb && apt-get "${lab_apt[@]}" download "$(kernel_package)" "xen-hypervisor-$xen_release-amd64")
    local package
    for package in "$work"/debs/*.deb; do
        dpkg -x "$package" "$work/unpacked"
    done
    gzip -dc "$work/unpacked/boot/xen-$xen_release-amd64.gz" >"$work/boot/xen-stock"
    python3 - "$work"/unpacked/boot/vmlinuz-* "$work/boot/vmlinux" <<'PYTHON'
import lzma
import sys
image = open(sys.argv[1], "rb").read()
kernel = lzma.LZMADecompressor().decompress(image[image.index(b"\xfd7zXZ\0"):])
assert kernel[:4] == b"\x7fELF"
open(sys.argv[2], "wb").write(kernel)
PYTHON
}

kernel_version() { ls "$work/unpacked/lib/modules"; }

# Files of these modules and of those that they need, in loading order, relative to the modules' folder.
module_files() {
    local version folder name
    version=$(kernel_version)
    folder=$work/unpacked/lib/modules/$version
    for name in "$@"; do
        # A built-in one prints "builtin NAME" and has no file.
        modprobe -d "$work/unpacked" -S "$version" --show-depends "$name" | sed -n "s|^insmod $folder/\([^ ]*\).*|\1|p"
    done | awk '!seen[$0]++'
}

add_modules() {
    local version from to file
    version=$(kernel_version)
    from=$work/unpacked/lib/modules/$version
    to=$work/root/usr/lib/modules/$version
    depmod -b "$work/unpacked" "$version"
    mkdir -p "$to"
    cp "$from"/modules.{order,builtin,builtin.modinfo} "$to/"
    module_files "${boot_modules[@]}" "${dom0_modules[@]}" | while read -r file; do
        install -D -m 644 "$from/$file" "$to/$file"
    done
    depmod -b "$work/root" "$version"
    install -D -m 644 "$work/boot/vmlinux" "$work/root/boot/vmlinux"
}

# SPDX-License-Identifier: BSD-2-Clause
# What this machine needs to prepare and run the lab: QEMU from the backports suite (SR-IOV came after the release's), tools for images
# and for the hypervisor's build.

oldest_qemu=9

# Nothing, and success, where there is none.
qemu_major() { { qemu-system-x86_64 --version 2>/dev/null || true; } | sed -n 's/^QEMU emulator version \([0-9]*\).*/\1/p'; }

install_on_host() {
    DEBIAN_FRONTEND=noninteractive apt-get "${lab_apt[@]}" -y --no-install-recommends -o Dpkg::Use-Pty=0 \
        -o Dpkg::Options::=--force-confold install "$@" </dev/null
}

host_packages() {
    local package missing=()
    for package in mmdebstrap cpio e2fsprogs binutils flex bison; do
        dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
    done
    [[ ${#missing[@]} -eq 0 ]] || install_on_host "${missing[@]}"
    local have
    have=$(qemu_major)
    if [[ ${have:-0} -lt $oldest_qemu ]]; then
        install_on_host -t "$(. /etc/os-release && printf '%s' "$VERSION_CODENAME")-backports" qemu-system-x86
    fi
    [[ $(qemu_major) -ge $oldest_qemu ]]
}

# The domUs run a module of ours (guest-frontend/kernel).
install_headers() {
    [[ -e /lib/modules/$(kernel_version)/build/Makefile ]] || install_on_host "linux-headers-$(kernel_version)"
}

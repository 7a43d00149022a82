#!/bin/busybox sh
# SPDX-License-Identifier: BSD-2-Clause
# A domU's init: loads the drivers, then runs the commands that dom0 leaves in xenstore (dom0/in_domu.sh).
#
# data/next names the newest command, data/command/N is it in base64. Its output goes to data/answer/N/0, 1, ... in base64,
# chunks of 1,500 bytes and at most 40 of them, its exit status to data/answer/N/status. Commands run side by side.
export PATH=/opt/librettos/bin:/bin:/usr/bin:/usr/sbin HOME=/root TERM=dumb
/bin/busybox --install -s /bin
mount -t devtmpfs devtmpfs /dev
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mkdir -p /dev/pts /dev/shm /proc/xen /run/netns
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /tmp
mount -t tmpfs tmpfs /run
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir -p /run/netns
while read -r module; do
    case $module in
        xen-privcmd.ko) insmod "/m/$module" unrestricted=1 ;; # else a domU's programs cannot make hypercalls
        *) insmod "/m/$module" ;;
    esac
done </m/order
mount -t xenfs xenfs /proc/xen
for node in /sys/class/misc/tun; do
    [ -d "$node" ] && mkdir -p /dev/net && [ ! -e /dev/net/tun ] && ln -s ../tun /dev/net/tun
done
ip link set lo up
hostname "$(xenstore-read name)"

answer() {
    number=$1
    output=/tmp/answer.$number
    xenstore-read "data/command/$number" | base64 -d >"/tmp/command.$number"
    sh "/tmp/command.$number" >"$output" 2>&1 </dev/null
    status=$?
    chunk=0
    while [ $chunk -lt 40 ] && [ $((chunk * 1500)) -lt "$(stat -c %s "$output")" ]; do
        xenstore-write "data/answer/$number/$chunk" "$(dd if="$output" bs=1500 skip=$chunk count=1 2>/dev/null | base64 | tr -d '\n')"
        chunk=$((chunk + 1))
    done
    rm -f "$output" "/tmp/command.$number"
    xenstore-write "data/answer/$number/status" "$status"
}

xenstore-watch data/next | while read -r _; do
    # No command yet: the domain has just come up, or is another one now (xl restore).
    if ! newest=$(xenstore-read data/next 2>/dev/null); then
        last=0
        xenstore-write data/ready 1
        continue
    fi
    while [ $last -lt "$newest" ]; do
        last=$((last + 1))
        answer $last &
    done
done
poweroff -f

#!/bin/busybox sh
# SPDX-License-Identifier: BSD-2-Clause
# First program of dom0: loads what the disk needs, goes on with init.sh on it.
export PATH=/bin
/bin/busybox --install -s /bin
mount -t devtmpfs devtmpfs /dev
mount -t proc proc /proc
mount -t sysfs sysfs /sys
while read -r module; do insmod "/m/$module"; done </m/order
attempts=0
while [ ! -b /dev/vda ] && [ $attempts -lt 200 ]; do
    sleep 0.1
    attempts=$((attempts + 1))
done
mount -t ext4 -o rw,noatime /dev/vda /mnt
mount --move /dev /mnt/dev
mount --move /proc /mnt/proc
mount --move /sys /mnt/sys
exec switch_root /mnt /lab-init

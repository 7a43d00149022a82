#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# dom0's init: brings up Xen's toolstack, then runs the steps that the outside puts into the shared folder /lab/steps.
#
# A step is a bash script N.sh (N counts from 1), complete when it has that name. Its output goes to N.out, its exit status
# to N.status when it has ended. Steps run side by side. The step that writes /lab/off ends the machine.
export PATH=/opt/librettos/bin:/usr/lib/xen-4.17/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export HOME=/root TERM=dumb LC_ALL=C.UTF-8

mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /tmp
mkdir -p /dev/pts /dev/shm /run/lock /run/netns /run/xen /run/xenstored /var/lib/xen /var/lib/xenstored /var/log/xen /lab
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t cgroup2 cgroup2 /sys/fs/cgroup
[ -L /var/run ] || { rm -rf /var/run && ln -s /run /var/run; }
hostname dom0
ip link set lo up
sysctl -qw kernel.printk='4 4 1 7' fs.suid_dumpable=0
mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144 lab /lab || busybox poweroff -f
[ -f /lab/overlay.tar ] && tar -C / --blocking-factor=512 --keep-directory-symlink -xf /lab/overlay.tar && ldconfig

modprobe -a xenfs xen-evtchn xen-gntdev xen-gntalloc xen-privcmd tun
mount -t xenfs xenfs /proc/xen
if grep -qs control_d /proc/xen/capabilities; then
    xenstored --pid-file /run/xenstored.pid
    for _ in $(seq 200); do
        xenstore-read -s / >/dev/null 2>&1 && break
        sleep 0.1
    done
    xen-init-dom0
    mkdir -p /lab/console
    xenconsoled --pid-file=/run/xenconsoled.pid --log=guest --log-dir=/lab/console
    cp /lab/domu.cpio /tmp/ # xl maps the file: from the shared folder, each page of it would be a request to the outside
    touch /lab/ready
fi

run_step() {
    bash "/lab/steps/$1.sh" >"/lab/steps/$1.out" 2>&1 </dev/null
    echo $? >"/lab/steps/$1.status.part"
    mv "/lab/steps/$1.status.part" "/lab/steps/$1.status"
}

mkfifo /run/never
exec 3<>/run/never # nobody writes: `read -t` on it is a sleep without a process
next=1
while [ ! -e /lab/off ]; do
    if [ -e "/lab/steps/$next.sh" ]; then
        run_step $next &
        next=$((next + 1))
    else
        read -r -t 0.1 -u 3
    fi
done
sync
busybox poweroff -f

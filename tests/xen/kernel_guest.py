# SPDX-License-Identifier: BSD-2-Clause
"""A domU whose kernel has the driver of the device (guest-frontend/kernel): the module is built for the domUs' kernel, from what is installed
for DKMS."""

import json
import pathlib
import subprocess

from domu import DomU

BUILD_MODULE = pathlib.Path(__file__).resolve().parents[1] / "kernel/build-module"
SKIPPED = 77
DEVICE = "/sys/bus/xen/devices/lvif-0"
# As udev would: by the device's alias.
LOAD = f"""
until [ -e {DEVICE} ]; do sleep 0.1; done
modprobe "$(sed -n 's/^MODALIAS=//p' {DEVICE}/uevent)"
"""
CONFIGURE = f"""
until [ -d {DEVICE}/net ]; do sleep 0.1; done
interface=$(ls {DEVICE}/net)
offered=/sys/class/net/$interface/lvif
ip link set $interface up
ip addr replace $(cat $offered/ipv4) dev $interface
ip route replace default via $(cat $offered/gateway4)
address6=$(cat $offered/ipv6)
if [ "$address6" ]; then
    /bin/ip addr replace $address6 dev $interface nodad
    /bin/ip -6 route replace default via $(cat $offered/gateway6) dev $interface
fi
until [ $(cat /sys/class/net/$interface/carrier) = 1 ]; do sleep 0.1; done
"""
UNLOAD = """
echo lvif-0 >/sys/bus/xen/drivers/librettos_lvif/unbind
rmmod librettos_lvif
"""


def kernel_version(work):
    return next((pathlib.Path(work) / "unpacked/lib/modules").iterdir()).name


def build_module(build, work):
    """The module for the domUs' kernel; None where the headers of that kernel are not installed, or nothing is built."""
    if not build or not (pathlib.Path(build) / "cmake_install.cmake").exists():
        return None
    said = subprocess.run([BUILD_MODULE, build, pathlib.Path(work) / "module", kernel_version(work)], stdout=subprocess.PIPE, text=True)
    if said.returncode == SKIPPED:
        return None
    said.check_returncode()
    return pathlib.Path(said.stdout.strip())


class KernelGuest(DomU):
    """`interface`: its name, once it is configured."""

    interface = None

    def load(self):
        self.run(LOAD)

    def configure(self):
        """Gives the interface the address that it was offered."""
        self.run(CONFIGURE)
        self.interface = self.run(f"ls {DEVICE}/net").strip()

    def unload(self):
        self.run(UNLOAD)

    def link(self):
        return json.loads(self.run(f"/bin/ip -json address show {self.interface}"))[0]  # busybox' own knows no JSON

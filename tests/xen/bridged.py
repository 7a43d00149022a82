# SPDX-License-Identifier: BSD-2-Clause
"""What the server is measured beside: a bridge of dom0's for guests of netback's."""

from wires import WireInDom0

BRIDGED4, BRIDGED_PEER4 = "10.8.0.2", "10.8.0.1/24"

MAKE_VETHS = f"""
ip netns add bridged
ip link add wire1 netns bridged type veth peer name port1
ethtool -K port1 tx off tso off gso off gro on >/dev/null
ip netns exec bridged ethtool -K wire1 tx off tso off gso off gro off >/dev/null
ip -n bridged addr add {BRIDGED_PEER4} dev wire1
ip -n bridged link set wire1 up
"""
MAKE_BRIDGE = """
modprobe xen-netback
ip link add br0 type bridge
sysctl -qw net.ipv6.conf.br0.disable_ipv6=1 net.ipv6.conf.port1.disable_ipv6=1
ip link set br0 up
ip link set port1 master br0
ip link set port1 up
"""


def make_bridge(group):
    """With dom0's interface port1. Gone with the group of tests."""
    group.machine.run(MAKE_BRIDGE)
    group.addClassCleanup(group.machine.run, "ip link del br0")


def make_bridge_on_veth(group):
    """Its wire, whose frames have 1,514 bytes at most."""
    group.addClassCleanup(group.machine.run, "ip netns del bridged")
    group.machine.run(MAKE_VETHS)
    make_bridge(group)
    return WireInDom0(group.machine, "bridged", "wire1")

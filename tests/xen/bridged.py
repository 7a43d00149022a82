# SPDX-License-Identifier: BSD-2-Clause
"""What the server is measured beside: a bridge of dom0 for guests of netback's, with a wire whose peer is `wire1` in the namespace `bridged`."""

BRIDGED4 = "10.8.0.2"

MAKE_BRIDGE = """
modprobe xen-netback
ip link add br0 type bridge
sysctl -qw net.ipv6.conf.br0.disable_ipv6=1
ip link set br0 up
ip netns add bridged
%s
sysctl -qw net.ipv6.conf.port1.disable_ipv6=1
ip netns exec bridged ethtool -K wire1 tx off tso off gso off gro off >/dev/null
ip -n bridged addr add 10.8.0.1/24 dev wire1
ip -n bridged link set wire1 up
ip link set port1 master br0
ip link set port1 up
"""
VETHS = """
ip link add wire1 netns bridged type veth peer name port1
ethtool -K port1 tx off tso off gso off gro on >/dev/null
"""


def make_bridge(group, wires):
    """`wires`: commands that make wire1 and port1, its other end. Gone with the group of tests."""
    group.machine.run(MAKE_BRIDGE % wires)
    group.addClassCleanup(group.machine.run, "ip netns del bridged; ip link del br0")

# SPDX-License-Identifier: BSD-2-Clause
"""A lab with VFs: between the wire and the server's port there is a Linux bridge, and its veth pairs are the VFs.

    wire0 (lab.wire) ==== wire0b -- br0 -- port0b ==== port0 (the server's)      all but wire0 in lab.server
                                     | `-- vf0b ==== vf0
                                     `---- vf1b ==== vf1      made by the server; the guest's ends
"""

import lab as laboratory

VFS = ["vf0", "vf1"]


class BridgedLab(laboratory.Lab):
    """`vfs`: their names; the configuration's [direct] follows from them."""

    def __init__(self, build, *, vfs=None, config=None, **options):
        self.vfs = vfs or VFS
        direct = {"direct": {"steering": "bridge", "bridge": "br0", "server_port": "port0b", "vfs": self.vfs}}
        super().__init__(build, config={**direct, **(config or {})}, **options)

    @property
    def guest_prefix(self):
        """Where the VFs are. Not ip netns exec: names of namespaces that are made inside it are not seen outside."""
        return ("nsenter", f"--net=/run/netns/{self.server}")

    def _make_network(self):
        super()._make_network()
        # The server's host is no part of the network: what it would say by itself is not wanted there.
        self.run(["sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1"], namespace=self.server)
        ip = ["ip"]
        for words in (["link", "set", "port0", "name", "wire0b"],
                      ["link", "add", "br0", "type", "bridge", "mcast_snooping", "0"],
                      ["link", "add", "port0", "type", "veth", "peer", "name", "port0b"],
                      ["link", "set", "wire0b", "master", "br0"],
                      ["link", "set", "port0b", "master", "br0"]):
            self.run([*ip, *words], namespace=self.server)
        for name in ("br0", "wire0b", "port0b", "port0"):
            self.run([*ip, "link", "set", name, "mtu", self.mtu, "up"], namespace=self.server)
        self.run(["ethtool", "-K", "port0", "tx", "off", "tso", "off", "gso", "off", "gro", "off"], namespace=self.server)

# SPDX-License-Identifier: BSD-2-Clause
"""The network server in a PV dom0 on a PCI NIC: QEMU's igb, on a hub with an e1000e that is the wire."""

import json

import case
import nics
from domu import DomU
from download import NGINX, Downloads
from netserver import CONFIGURATION, SHARED4, NetServer, wire

NIC = nics.nic(1)
SYSFS = f"/sys/bus/pci/devices/{NIC}"
MAKE_WIRE = "modprobe -a e1000e igb\n" + wire(f"ip link set {nics.peer_interface(1)} netns wire name wire0")


class PciServer(NetServer):
    def make_wire(self):
        self.machine.run(MAKE_WIRE)
        self.machine.put("netserver.toml", CONFIGURATION % NIC)

    def checks(self):
        """{name: what `doctor` says}."""
        said = self.machine.run("librettosctl --json doctor --config /lab/netserver.toml || true")
        return {check["name"]: check for check in json.loads(said)["result"]["checks"]}

    def start_in_vain(self, configuration="netserver.toml"):
        """What it says when it does not start."""
        return self.machine.run(f"librettos-netserver --config /lab/{configuration} 2>&1 && exit 1; true")

    def bus_master(self):
        """The NIC may write to memory: bit 2 of its command register."""
        return bool(int(self.machine.run(f"od -An -tu2 -j4 -N2 {SYSFS}/config")) & 4)


class PciNic(Downloads, case.XenTest):
    """The server lives as long as the class, and one guest."""

    programs = ("librettos-netserver", "librettosctl", "librettos-guest")
    qemu_options = nics.igb_with_peer(1)

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = PciServer(cls.machine)
        cls.server.make_wire()
        cls.addClassCleanup(cls.server.clean_up)
        cls.unbound, cls.refusal = cls.server.checks(), cls.server.start_in_vain()
        cls.machine.run(nics.bind_to_uio(NIC))
        cls.bound = cls.server.checks()
        cls.server.start()
        cls.web = DomU(cls.machine, "lr-web")
        cls.addClassCleanup(cls.web.destroy)
        cls.web.start()
        cls.web.program = cls.web.start_step(NGINX, timeout_s=3600)
        cls.machine.wait_until(f"ip netns exec wire curl -sS --fail --max-time 5 http://{SHARED4}/", "nginx at the shared address", timeout_s=120)
        cls.sha256 = cls.web.run("sha256sum /www/file").split()[0]

    def test_unbound_is_refused(self):
        self.assertEqual(self.unbound[f"PCI device {NIC}"]["verdict"], "bad")
        for said in (self.unbound[f"PCI device {NIC}"]["mend"], self.refusal):
            self.assertIn(f"--bind=uio_pci_generic {NIC}", said)

    def test_doctor(self):
        for name in (f"PCI device {NIC}", "NIC reset", "DMA addresses", "dom0's memory"):
            self.assertEqual(self.bound[name]["verdict"], "good", self.bound[name])
        self.assertIn("all 1024 pages of a sample", self.bound["DMA addresses"]["found"])

    def test_it_is_the_nic(self):
        self.assertEqual(self.server.status()["port"]["driver"], "net_e1000_igb")
        self.assertTrue(self.server.bus_master())

    def test_ping(self):
        self.assertIn(" 0% packet loss", self.server.on_the_wire(f"ping -c 20 -i 0.05 -W 10 -s 1400 {SHARED4}"))

    def test_second_server_is_refused(self):
        self.assertIn("another librettos-netserver", self.server.start_in_vain())
        self.machine.put("second.toml", (CONFIGURATION % NIC).replace("/run/librettos/", "/run/second/"))
        self.machine.run("mkdir -p /run/second")
        self.assertIn(f"another process uses PCI device {NIC}", self.server.start_in_vain("second.toml"))
        self.assertTrue(self.server.bus_master())
        self.check_file(self.fetch())

    def kill_and_start_server(self):
        """The NIC stays as it was programmed, and frames come on: it must not write to memory that has been given back."""
        self.server.kill()
        self.assertFalse(self.server.bus_master())
        self.server.start()
        self.assertTrue(self.server.bus_master())

    def test_orderly_end(self):
        self.server.stop()
        self.assertFalse(self.server.bus_master())
        self.server.start()
        self.check_file(self.fetch())

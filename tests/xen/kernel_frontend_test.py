# SPDX-License-Identifier: BSD-2-Clause
"""The driver in a domU's kernel (guest-frontend/kernel): content, offloads, a server that is killed, comings and goings."""

import re
import unittest

import case
from accounts import Accounts
from download import NGINX_ALONE, Downloads
from kernel_guest import KernelGuest, build_module
from loads import EchoLoad
from netserver import DEDICATED4, DEDICATED6, SHARED4, WIRE4, WIRE6, NetServer

RELOADS = 10
# Prints the MAC that says, unasked, that it has the address.
ANNOUNCED = """
import socket, sys
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x806))
wire.bind(("wire0", 0))
address, frame = socket.inet_aton(sys.argv[1]), b""
while not frame[28:32] == frame[38:42] == address:
    frame = wire.recv(1514)
print(frame[22:28].hex(":"))
"""
OFFLOADS = ("tx-checksumming", "scatter-gather", "tcp-segmentation-offload", "generic-receive-offload", "rx-checksumming")


class KernelFrontend(Downloads, EchoLoad, Accounts, case.XenTest):
    """The server lives as long as the class, and one domU with the driver."""

    programs = ("librettos-netserver", "librettosctl", "librettos-guest", "smoke_echo")
    address = DEDICATED4

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if build_module(cls.lab.build, cls.lab.work) is None:
            raise unittest.SkipTest("there is no module for the domUs' kernel: the headers of that kernel are not installed")
        cls.server = NetServer.start_for(cls, ipv6=True)
        cls.start_guest()

    @classmethod
    def start_guest(cls):
        """With the driver, its address and its services."""
        cls.guest = guest = KernelGuest(cls.machine, "lr-own")
        cls.addClassCleanup(guest.destroy)
        guest.start()
        guest.load()
        guest.configure()
        for service in (NGINX_ALONE, "exec smoke_echo 7"):
            guest.start_step(service, timeout_s=3600)
        for port in (80, 7):
            cls.server.wait_for_tcp(port, DEDICATED4)
        cls.sha256 = guest.run("sha256sum /www/file").split()[0]

    # --- what it is

    def test_interface(self):
        link, offered = self.guest.link(), self.server.guest("lr-own")
        self.assertEqual((link["address"], link["mtu"], link["operstate"]), (offered["mac"], 1500, "UP"))
        self.assertEqual([address["local"] for address in link["addr_info"] if address["family"] == "inet"], [DEDICATED4])

    def test_ethtool(self):
        name = self.guest.interface
        self.assertIn("driver: librettos_lvif", self.guest.run(f"ethtool -i {name}"))
        shown = dict(re.findall(r"^\s*([\w-]+): (on|off)", self.guest.run(f"ethtool -k {name}"), re.MULTILINE))
        self.assertEqual({offload: shown[offload] for offload in OFFLOADS}, dict.fromkeys(OFFLOADS, "on"))
        counted = dict(re.findall(r"^\s*(\w+): (\d+)", self.guest.run(f"ethtool -S {name}"), re.MULTILINE))
        self.assertGreater(int(counted["notifications"]), 0)
        self.assertEqual((counted["rx_bad_offload"], counted["ring_broken"]), ("0", "0"))

    # --- traffic

    def test_ping(self):
        self.assertIn(" 0% packet loss", self.server.on_the_wire(f"ping -c 20 -i 0.05 -W 10 -s 1400 {DEDICATED4}"))
        self.assertIn(" 0% packet loss", self.guest.run(f"ping -c 5 -W 10 {WIRE4}"))

    def test_content_both_ways(self):
        self.start_load()
        self.end_load()

    def test_ipv6(self):
        self.guest.configure()  # an interface that is set down loses its addresses of IPv6
        self.assertIn(" 0% packet loss", self.server.on_the_wire(f"ping -6 -c 20 -i 0.05 -W 10 -s 1400 {DEDICATED6}"))
        self.assertIn(" 0% packet loss", self.guest.run(f"ping -6 -c 5 -W 10 {WIRE6}"))
        self.start_load(DEDICATED6)
        self.end_load()

    def test_engine_killed(self):
        self.start_load()
        self.server.kill_engine()
        self.progress()
        self.end_load()

    def test_everything_killed(self):
        self.start_load()
        self.server.kill()
        self.assertEqual(self.guest.link()["operstate"], "UP")
        self.server.start()
        self.progress()
        self.end_load()

    def test_detached_and_attached(self):
        self.start_load()
        self.server.ctl("detach", "lr-own")
        self.addCleanup(self.server.ctl, "attach", "lr-own")
        self.eventually(lambda: self.guest.link()["operstate"] == "DOWN", "the carrier to go")
        self.server.ctl("attach", "lr-own")
        self.eventually(lambda: self.guest.link()["operstate"] == "UP", "the carrier to come back")
        self.progress()
        self.end_load()

    def test_down_and_up(self):
        """Frames that come meanwhile fill the ring, and nothing waits for them."""
        self.start_load()
        self.guest.run(f"ip link set {self.guest.interface} down; sleep 1; ip link set {self.guest.interface} up; ip route replace default via {WIRE4}")
        self.progress()
        self.end_load()

    # --- saved

    def test_checkpointed(self):
        """Grants and channels of the device are given back before, and made anew in the same domain."""
        domid, before = self.guest.domid, self.held(self.guest.domid)
        self.start_load()
        self.guest.checkpoint()
        self.progress()
        self.end_load()
        self.assertEqual((self.guest.domid, self.held(domid)), (domid, before))

    def test_saved_and_restored(self):
        """The connection goes on in another domain, of the same addresses."""
        before, domid = self.server.guest("lr-own"), self.guest.domid
        self.machine.put("announced.py", ANNOUNCED)
        self.start_load()
        self.guest.save()
        self.check_gone("lr-own", domid)
        announced = self.machine.start_step(f"ip netns exec wire python3 -B /lab/announced.py {DEDICATED4}")
        self.guest.restore().wait()
        self.assertNotEqual(self.guest.domid, domid)
        self.progress()
        self.end_load()
        self.assertEqual((announced.wait(30), announced.output.strip()), (0, before["mac"]))
        after = self.server.guest("lr-own")
        self.assertEqual([after[key] for key in ("mac", "ipv4", "ipv6")], [before[key] for key in ("mac", "ipv4", "ipv6")])

    def test_restored_without_a_server(self):
        """The device is there when one is started."""
        self.start_load()
        self.guest.save()
        self.server.kill()
        self.guest.restore().wait()
        self.assertEqual(self.guest.link()["operstate"], "DOWN")
        self.server.start()
        self.progress()
        self.end_load()

    # --- comings and goings

    def reload(self, count):
        for _ in range(count):
            self.guest.unload()
            self.guest.load()
            self.guest.configure()

    def memory_held(self):
        """Pages of the driver's in the guest."""
        return self.guest.run("grep -c librettos_lvif /proc/vmallocinfo || true").strip()

    def test_reload(self):
        """Removed and loaded again: nothing grows."""
        self.reload(2)
        before = self.held(self.guest.domid), self.memory_held()
        self.reload(RELOADS)
        self.assertEqual((self.held(self.guest.domid), self.memory_held()), before)
        self.check_file(self.fetch())

    def test_destroyed_in_mid_traffic(self):
        step, domid = self.fetch("100k"), self.guest.domid
        self.wait_for_bytes(200_000)
        self.guest.destroy()
        self.check_gone("lr-own", domid)
        self.assertEqual(self.server.status()["resources"]["mappings"], 0)
        self.machine.run("pkill curl; true")
        step.wait(60)
        self.start_guest()
        self.check_file(self.fetch())

    # --- a guest of the shared address

    def test_shared_is_refused(self):
        """With what to do; and what it says to do works, with the module loaded."""
        shared = KernelGuest(self.machine, "lr-shared")
        self.addCleanup(shared.destroy)
        shared.start()
        shared.load()
        said = self.eventually(lambda: (found := shared.run("dmesg | grep 'lvif-0: not connected' || true")) and found, "the driver's refusal")
        for words in ("librettos-guest", "librettosctl attach NAME --ip"):
            self.assertIn(words, said)
        self.assertEqual(shared.run("ls /sys/class/net").split(), ["lo"])
        shared.start_step("mkdir /srv; echo shared >/srv/index.html; exec librettos-guest run -- httpd -f -p 8080 -h /srv", timeout_s=3600)
        self.machine.wait_until(f"[ \"$(ip netns exec wire curl -sS --fail --max-time 5 http://{SHARED4}:8080/)\" = shared ]", "the program of the shared guest")

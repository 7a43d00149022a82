# SPDX-License-Identifier: BSD-2-Clause
"""The network server in dom0 and librettos-guest in domUs that share one IP address, on both kinds of hypervisor."""

import os
import time

import case
import hostile_guest
from accounts import Accounts
from domu import DomU, pvh_obstacle
from download import NGINX, Downloads
from netserver import SHARED4, NetServer

REDIS = "exec librettos-guest run --name lr-cache -- redis-server --port 6379 --bind 0.0.0.0 --protected-mode no --save ''"
HTTPD = """
mkdir -p /srv && echo "httpd in $(hostname)" >/srv/index.html
exec librettos-guest run --name lr-files -- httpd -f -p 8080 -h /srv
"""


CYCLES = 8 if "XEN_MINUTES" in os.environ else 200


class SharedAddress(Downloads, Accounts):
    """The tests; the classes below say on which hypervisor. Three guests live as long as the class."""

    programs = ("librettos-netserver", "librettosctl", "librettos-guest")
    authority = ""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = NetServer.start_for(cls)
        cls.guests = {}
        cls.no_pvh = pvh_obstacle(cls.machine)
        third = "pv" if cls.no_pvh else "pvh"
        for name, kind, program in (("lr-web", "pv", NGINX), ("lr-cache", "pv", REDIS), ("lr-files", third, HTTPD)):
            cls.add_guest(name, kind, program)
        for port in (80, 6379, 8080):
            cls.server.wait_for_tcp(port)
        cls.sha256 = cls.guests["lr-web"].run("sha256sum /www/file").split()[0]

    @classmethod
    def add_guest(cls, name, kind, program):
        guest = DomU(cls.machine, name, kind=kind)
        cls.addClassCleanup(guest.destroy)
        guest.start()
        guest.program = guest.start_step(program, timeout_s=3600)
        cls.guests[name] = guest
        return guest

    def test_authority(self):
        self.assertEqual(self.server.status()["portmap_authority"], self.authority)

    def test_one_address(self):
        self.assertEqual(self.server.on_the_wire(f"curl -sS --fail http://{SHARED4}/"), "nginx in lr-web\n")
        self.assertEqual(self.server.on_the_wire(f"curl -sS --fail http://{SHARED4}:8080/"), "httpd in lr-files\n")
        self.assertEqual(self.server.on_the_wire(f"redis-cli -h {SHARED4} set key value"), "OK\n")
        self.assertEqual(self.server.on_the_wire(f"redis-cli -h {SHARED4} get key"), "value\n")

    def test_one_of_them_is_pvh(self):
        if self.no_pvh:
            self.skipTest(self.no_pvh)
        self.assertEqual(self.guests["lr-files"].run("cat /sys/hypervisor/guest_type"), "PVH\n")
        self.assertEqual(self.server.guest("lr-files")["state"], "connected")

    def test_ports_have_owners(self):
        for port, name in ((80, "lr-web"), (6379, "lr-cache"), (8080, "lr-files")):
            entry = self.server.port(port)
            self.assertEqual((entry["state"], entry["owner"], entry["domain"]), ("bound", name, self.guests[name].domid))

    def test_port_of_another(self):
        said = self.guests["lr-cache"].run("librettos-guest run --name lr-cache -- httpd -f -p 80 -h / 2>&1; true")
        self.assertEqual(self.server.port(80)["owner"], "lr-web", said)

    def test_everything_killed_in_a_download(self):
        before = self.server.status()["resources"]["mappings"]
        super().test_everything_killed_in_a_download()
        self.assertEqual(self.server.status()["resources"]["mappings"], before)
        self.assertEqual(self.server.port(6379)["owner"], "lr-cache")

    # --- ends

    def cycle(self, name, count):
        """Detaches and attaches a guest so many times, each time until it is connected."""
        self.machine.run(f"""
            for i in $(seq {count}); do
                librettosctl detach {name} >/dev/null || exit
                librettosctl attach {name} >/dev/null || exit
                for j in $(seq 600); do
                    librettosctl --json guest {name} | grep -q '"state":"connected"' && continue 2
                    sleep 0.05
                done
                echo "not connected again in cycle $i"; librettosctl guest {name}; exit 1
            done""", timeout_s=10 * count + 60)

    def test_zero_growth(self):
        """Attached and detached many times."""
        self.cycle("lr-cache", 5)
        before = self.held(self.guests["lr-cache"].domid)
        began = time.monotonic()
        self.cycle("lr-cache", CYCLES)
        self.figure(f"{self.authority} keeps the portmap: detached and attached, each, s", (time.monotonic() - began) / CYCLES)
        self.assertEqual(self.held(self.guests["lr-cache"].domid), before)
        self.server.wait_for_tcp(6379)

    def test_destroyed_in_mid_traffic(self):
        before = self.held(self.guests["lr-cache"].domid)
        victim = self.add_guest("lr-victim", "pv", NGINX.replace("--name lr-web", "--name lr-victim").replace("listen 80;", "listen 81;"))
        self.server.wait_for_tcp(81)
        domid = victim.domid
        step = self.machine.start_step(f"ip netns exec wire curl -sS --max-time 60 --limit-rate 100k -o /tmp/victim http://{SHARED4}:81/file")
        self.machine.wait_until("[ $(stat -c %s /tmp/victim) -ge 200000 ]", "traffic of the victim")
        victim.destroy()
        self.assertEqual(self.server.port(81)["state"], "quarantined")
        self.check_gone("lr-victim", domid)
        self.eventually(lambda: self.held(self.guests["lr-cache"].domid) == before, "everything to be given back")
        self.assertEqual(self.server.on_the_wire(f"curl -sS --fail http://{SHARED4}/"), "nginx in lr-web\n")
        step.wait(120)  # cut off, or not: the peer may have had all of it in its buffers


class OnStockXen(SharedAddress, hostile_guest.HostileGuest, case.XenTest):
    """The server is the portmap's authority."""

    hypervisor, authority = "stock", "server"
    attacks = [hostile_guest.PORTMAP, hostile_guest.GRANTS, hostile_guest.RINGS, hostile_guest.CONTROL, hostile_guest.FRAMES,
               hostile_guest.STORE]


class OnPatchedXen(SharedAddress, hostile_guest.HostileGuest, case.XenTest):
    """The hypervisor is."""

    hypervisor, authority = "patched", "hypervisor"
    attacks = [hostile_guest.PORTMAP, hostile_guest.GRANTS]

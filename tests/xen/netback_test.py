# SPDX-License-Identifier: BSD-2-Clause
"""What a domU's traffic costs through the network server and through Linux' netback with a bridge, in the same boot. Of the server's guests
one runs under librettos-guest, one has the driver in its kernel.

Figures of an emulated machine say nothing alone: the table has medians, and their ratios. No ratio
fails a test: the machine may have other work. Both wires carry frames of 1,514 bytes at most, as a cable does: no side
hands large frames through, checksums are complete, received segments may be merged (GRO) on both.

There are two pairs of wires: veths, of which the server has one and the kernel's bridge the other, and two NICs (igb), one of which DPDK has.
"""

import csv
import datetime
import io
import json
import re
import statistics
import time

import case
import hypercalls
import nics
from bridged import BRIDGED4, VETHS, make_bridge
from domu import DomU
from kernel_guest import KernelGuest
from netserver import DEDICATED4, SHARED4, NetServer
from pci_nic_test import BIND, PciServer

ROUNDS = 5
BULK_S = 4
REQUESTS = 400
COUNTED_S = 2
COUNTED_REQUESTS = 100
MOST_GRANTS = 160  # of a guest of the default size
PROGRAMS = "redis-server --port 6379 --bind 0.0.0.0 --protected-mode no --save '' & exec iperf3 -s"

NICS = f"""
ip link set {nics.peer_interface(2)} netns bridged name wire1
ip link set {nics.interface_of(nics.nic(2))} name port1
"""


class Path:
    """A way to a domU: the namespace and interface of its wire, its address and what its event channels are called."""

    def __init__(self, name, guest, namespace, wire, address, channels):
        self.name, self.guest, self.namespace, self.wire, self.address = name, guest, namespace, wire, address
        self.channels = channels

    def on_the_wire(self, command):
        return f"ip netns exec {self.namespace} {command}"


class Comparison:
    """The same programs in three domUs of the same size. make_wires() of a group starts the server."""

    programs = ("librettos-netserver", "librettosctl", "librettos-guest")
    when_named = True

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.make_wires()
        ours, driver = DomU(cls.machine, "lr-measured", memory_mib=384), KernelGuest(cls.machine, "lr-own-driver", memory_mib=384)
        theirs = DomU(cls.machine, "bridged", memory_mib=384, settings=['vif = ["bridge=br0"]'])
        for guest in (ours, driver, theirs):
            cls.addClassCleanup(guest.destroy)
            guest.start()
        ours.start_step(f"exec librettos-guest run -- sh -c {json.dumps(PROGRAMS)}", timeout_s=3600)
        driver.load()
        driver.configure()
        driver.start_step(PROGRAMS, timeout_s=3600)
        theirs.run(f"ip addr add {BRIDGED4}/24 dev eth0; ip link set eth0 up")
        theirs.start_step(PROGRAMS, timeout_s=3600)
        cls.ours = Path("librettos-guest", ours, "wire", "wire0", SHARED4, "evtchn:(lvif-|librettos-)")
        cls.driver = Path("the driver", driver, "wire", "wire0", DEDICATED4, "evtchn:(lvif-|librettos-)|lvif-0")
        cls.theirs = Path("netback", theirs, "bridged", "wire1", BRIDGED4, "vif[0-9]|eth0")
        for path in (cls.ours, cls.driver, cls.theirs):
            for port in (6379, 5201):
                cls.machine.wait_until(path.on_the_wire(f"python3 -c 'import socket; socket.create_connection((\"{path.address}\", {port}), 2)'"),
                                       f"{path.name}: something that listens on {path.address} port {port}", timeout_s=90)

    # --- time

    def bulk_mbits(self, path, direction, seconds=BULK_S):
        said = json.loads(self.machine.run(path.on_the_wire(f"iperf3 -c {path.address} {direction} -t {seconds} -J"), timeout_s=seconds + 60))
        return said["end"]["sum_received"]["bits_per_second"] / 1e6

    def latency_ms(self, path):
        """Of a request to redis, the median."""
        said = self.machine.run(path.on_the_wire(f"redis-benchmark -h {path.address} -c 1 -n {REQUESTS} -t ping_mbulk --csv"), timeout_s=180)
        return float(next(csv.DictReader(io.StringIO(said)))["p50_latency_ms"])

    def compare(self, what, unit, measure):
        """In turns, so that what else the machine does falls on all. The server is not there while netback is measured: on a NIC without
        interrupts it would look for frames every millisecond."""
        values = {path.name: [] for path in (self.ours, self.driver, self.theirs)}
        for _ in range(ROUNDS):
            for path in (self.ours, self.driver):
                values[path.name].append(measure(path))
            self.server.stop()
            values[self.theirs.name].append(measure(self.theirs))
            self.server.start()
            for path in (self.ours, self.driver):
                self.eventually(lambda: (self.server.guest(path.guest.name) or {}).get("state") == "connected", "the guests' return")
        self.compare_figures(what, unit, values, self.theirs.name)

    def test_bulk_from_domu(self):
        self.compare("bulk TCP from a domU", "Mbit/s", lambda path: self.bulk_mbits(path, "-R"))

    def test_bulk_to_domu(self):
        self.compare("bulk TCP to a domU", "Mbit/s", lambda path: self.bulk_mbits(path, ""))

    def test_request_response(self):
        self.compare("request and response", "ms", self.latency_ms)

    # --- hypercalls and notifications

    def interrupts(self, path):
        """Notifications taken by dom0 and by the domU so far, of the path's event channels."""
        def count(said):
            return sum(int(word) for line in said.splitlines() if re.search(path.channels, line)
                       for word in line.split()[1:] if word.isdigit())
        return count(self.machine.run("cat /proc/interrupts")) + count(path.guest.run("cat /proc/interrupts"))

    def frames(self, path):
        link, = json.loads(self.machine.run(f"ip -n {path.namespace} -json -stats link show {path.wire}"))
        return link["stats64"]["rx"]["packets"] + link["stats64"]["tx"]["packets"]

    def count(self, what, command):
        """Hypercalls of dom0 and the domU, and notifications, per frame on the wire."""
        for path in (self.ours, self.driver, self.theirs):
            frames, notified = self.frames(path), self.interrupts(path)
            counts, _ = hypercalls.count(self.machine, path.on_the_wire(command % path.address), timeout_s=120)
            notified = self.interrupts(path) - notified
            frames = self.frames(path) - frames
            domains = (0, path.guest.domid)
            self.assertGreater(frames, 0)
            self.assertGreater(notified, 0)
            self.assertGreater(counts.total(domains, hypercalls.EVENT_CHANNEL_OP), 0)
            per_frame = {name: number / frames for name, number in (
                ("hypercalls", counts.total(domains)), ("of grants", counts.total(domains, hypercalls.GRANT_TABLE_OP)),
                ("of events", counts.total(domains, hypercalls.EVENT_CHANNEL_OP)), ("notifications", notified))}
            self.figure(f"{what}, {path.name}", f"{frames} frames; per frame " + ", ".join(f"{n:.2f} {name}" for name, n in per_frame.items()))

    def test_count_bulk_from_domu(self):
        self.count("counted, bulk from a domU", f"iperf3 -c %s -R -t {COUNTED_S}")

    def test_count_bulk_to_domu(self):
        self.count("counted, bulk to a domU", f"iperf3 -c %s -t {COUNTED_S}")

    def test_count_request_response(self):
        self.count("counted, requests", f"redis-benchmark -h %s -c 1 -n {COUNTED_REQUESTS} -t ping_mbulk --csv")

    # --- attaching

    def detach(self):
        name = self.ours.guest.name
        self.server.ctl("detach", name)
        self.eventually(lambda: self.server.guest(name)["state"] != "connected", "the guest to be detached")
        time.sleep(1)

    def connected_at(self, after_s):
        """When the server said that the guest is connected, if it did so after that."""
        said = re.findall(rf"^(\S+ \S+) .*guest '{self.ours.guest.name}' .* connected:", self.server.log(), re.MULTILINE)
        times = [datetime.datetime.fromisoformat(f"{text}+00:00").timestamp() for text in said]
        return times[-1] if times and times[-1] >= after_s else None

    def test_attach_time(self):
        took_ms = []
        for _ in range(ROUNDS):
            self.detach()
            began_s = float(self.machine.run(f"echo $EPOCHREALTIME; librettosctl attach {self.ours.guest.name} >/dev/null").split()[0])
            took_ms.append(1000 * (self.eventually(lambda: self.connected_at(began_s), "the guest to be attached") - began_s))
        self.figure("librettosctl attach, to connected", f"{statistics.median(took_ms):.0f} ms ({min(took_ms):.0f}-{max(took_ms):.0f})")

    def mapped_grants(self):
        """Of our guest, as the hypervisor prints them."""
        printed = len(self.machine.serial.read_text(errors="replace"))
        self.machine.run("xl debug-keys g")
        said = self.eventually(lambda: self.machine.serial.read_text(errors="replace")[printed:].partition("] done")[::2][1]
                               and self.machine.serial.read_text(errors="replace")[printed:], "the hypervisor's list of grants")
        table = re.search(rf"grant-table for remote d{self.ours.guest.domid} .*?(?=grant-table for remote|\Z)", said, re.DOTALL)
        return len(re.findall(r"^\(XEN\)[^\n]* \[0x", table[0], re.MULTILINE))

    def test_attach_count(self):
        """Hypercalls, beside those of a command that does nothing, and grants."""
        name, domid = self.ours.guest.name, self.ours.guest.domid
        self.detach()
        before = self.mapped_grants()
        idle, _ = hypercalls.count(self.machine, "librettosctl status >/dev/null; sleep 4")
        began_s = float(self.machine.run("echo $EPOCHREALTIME"))
        attach, _ = hypercalls.count(self.machine, f"librettosctl attach {name} >/dev/null; sleep 4")
        self.eventually(lambda: self.connected_at(began_s), "the guest to be attached")
        for who, number in (("dom0", 0), ("domU", domid)):
            extra = {what: attach.total([number], which) - idle.total([number], which) for what, which in (
                ("hypercalls", None), ("of grants", hypercalls.GRANT_TABLE_OP), ("of events", hypercalls.EVENT_CHANNEL_OP))}
            self.figure(f"attach, {who}", ", ".join(f"{count} {what}" for what, count in extra.items()))
        grants = self.mapped_grants() - before
        self.figure("grants of a guest that the server maps", grants)
        self.assertGreater(grants, 0)
        self.assertLessEqual(grants, MOST_GRANTS)


class BesideNetback(Comparison, case.XenTest):
    """Veths as wires: the server has one, netback's bridge the other."""

    @classmethod
    def make_wires(cls):
        cls.server = NetServer.start_for(cls)
        make_bridge(cls, VETHS)


class BesideNetbackOnNics(Comparison, case.XenTest):
    """Each has an igb of its own."""

    qemu_options = nics.igb_with_peer(1) + nics.igb_with_peer(2)

    @classmethod
    def make_wires(cls):
        cls.server = PciServer(cls.machine)
        cls.server.make_wire()
        cls.addClassCleanup(cls.server.clean_up)
        make_bridge(cls, NICS)
        cls.machine.run(BIND)
        cls.server.start()

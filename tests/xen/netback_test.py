# SPDX-License-Identifier: BSD-2-Clause
"""What a domU's traffic costs through the network server and through Linux' netback with a bridge, in the same boot. Of the server's guests
one runs under librettos-guest, one has the driver in its kernel.

Figures of an emulated machine say nothing alone: the table has medians, and their ratios. No ratio
fails a test: the machine may have other work. Received segments may be merged (GRO) on all paths.

There are two pairs of wires. Two NICs (igb), one of which DPDK has, the other is the bridge's; both take TCP in large frames (TSO) and
give it in frames of 1,514 bytes, and the peers are outside of the emulated machine, as another computer would be. And veths, of which the
server has one and the bridge the other: they carry frames of 1,514 bytes only, with complete checksums, and the peers take their time of
dom0's processors.
"""

import csv
import datetime
import io
import json
import re
import shutil
import statistics
import time
import unittest

import case
import hypercalls
import nics
from bridged import BRIDGED4, BRIDGED_PEER4, make_bridge, make_bridge_on_veth
from domu import DomU
from kernel_guest import KernelGuest
from netserver import CONFIGURATION, DEDICATED4, SHARED4, WIRE4, NetServer
from wires import WireInDom0

ROUNDS = 5
BULK_S = 4
REQUESTS = 400
COUNTED_S = 2
COUNTED_REQUESTS = 100
MOST_GRANTS = 160  # of a guest of the default size
PROGRAMS = "redis-server --port 6379 --bind 0.0.0.0 --protected-mode no --save '' & exec iperf3 -s"

# The emulated machine does not say that its time stamp counter is steady, so that Xen would trap each look at it. Computers say so.
READS_ITS_CLOCK = 'tsc_mode = "native"'


class Path:
    """A way to a domU: its wire, its address and what its event channels are called."""

    def __init__(self, name, guest, wire, address, channels):
        self.name, self.guest, self.wire, self.address, self.channels = name, guest, wire, address, channels

    def listens(self, port):
        """True, or Failure."""
        self.wire.run(f"python3 -c 'import socket; socket.create_connection((\"{self.address}\", {port}), 2)'")
        return True


class Comparison:
    """The same programs in three domUs of the same size. make_wires() of a group starts the server and returns its wire and the bridge's."""

    programs = ("librettos-netserver", "librettosctl", "librettos-guest")
    when_named = True

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        wire, bridged = cls.make_wires()
        ours = DomU(cls.machine, "lr-measured", memory_mib=384, settings=[READS_ITS_CLOCK])
        driver = KernelGuest(cls.machine, "lr-own-driver", memory_mib=384, settings=[READS_ITS_CLOCK])
        theirs = DomU(cls.machine, "bridged", memory_mib=384, settings=[READS_ITS_CLOCK, 'vif = ["bridge=br0"]'])
        for guest in (ours, driver, theirs):
            cls.addClassCleanup(guest.destroy)
            guest.start()
        ours.start_step(f"exec librettos-guest run -- sh -c {json.dumps(PROGRAMS)}", timeout_s=3600)
        driver.load()
        driver.configure()
        driver.start_step(PROGRAMS, timeout_s=3600)
        theirs.run(f"ip addr add {BRIDGED4}/24 dev eth0; ip link set eth0 up")
        theirs.start_step(PROGRAMS, timeout_s=3600)
        cls.ours = Path("librettos-guest", ours, wire, SHARED4, "evtchn:(lvif-|librettos-)")
        cls.driver = Path("the driver", driver, wire, DEDICATED4, "evtchn:(lvif-|librettos-)|lvif-0")
        cls.theirs = Path("netback", theirs, bridged, BRIDGED4, "vif[0-9]|eth0")
        for path in (cls.ours, cls.driver, cls.theirs):
            for port in (6379, 5201):
                cls.eventually(lambda path=path, port=port: path.listens(port),
                               f"{path.name}: something that listens on {path.address} port {port}", timeout_s=90)

    # --- time

    def bulk_mbits(self, path, direction):
        # The service takes one peer at a time, and may still be busy with the one before.
        said = self.eventually(lambda: json.loads(path.wire.run(f"iperf3 -c {path.address} {direction} -t {BULK_S} -J", timeout_s=BULK_S + 60)),
                               f"{path.name}: a whole run of iperf3")
        return said["end"]["sum_received"]["bits_per_second"] / 1e6

    def latency_ms(self, path):
        """Of a request to redis, the median."""
        said = path.wire.run(f"redis-benchmark -h {path.address} -c 1 -n {REQUESTS} -t ping_mbulk --csv", timeout_s=180)
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

    def count(self, what, command):
        """Hypercalls of dom0 and the domU, and notifications, per frame on the wire."""
        for path in (self.ours, self.driver, self.theirs):
            frames, notified = path.wire.frames(), self.interrupts(path)
            counts = hypercalls.count(self.machine, lambda path=path: path.wire.run(command % path.address, timeout_s=120))
            notified = self.interrupts(path) - notified
            frames = path.wire.frames() - frames
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
        idle = hypercalls.count(self.machine, lambda: self.machine.run("librettosctl status >/dev/null; sleep 4"))
        began_s = float(self.machine.run("echo $EPOCHREALTIME"))
        attach = hypercalls.count(self.machine, lambda: self.machine.run(f"librettosctl attach {name} >/dev/null; sleep 4"))
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
        return WireInDom0(cls.machine, "wire", "wire0"), make_bridge_on_veth(cls)


class BesideNetbackOnNics(Comparison, case.XenTest):
    """Each has an igb of its own, whose cable leads out of the emulated machine."""

    wires = 2
    qemu_options = nics.igb_outside(1) + nics.igb_outside(2)

    @classmethod
    def make_wires(cls):
        if missing := [program for program in ("iperf3", "redis-benchmark") if not shutil.which(program)]:
            raise unittest.SkipTest(f"not on this machine: {', '.join(missing)}; make packages installs them")
        cls.machine.run(f"modprobe igb\nip link set {nics.interface_of(nics.nic(2))} name port1\n{nics.bind_to_uio(nics.nic(1))}")
        make_bridge(cls)
        cls.machine.put("netserver.toml", CONFIGURATION % nics.nic(1))
        cls.server = NetServer(cls.machine)
        cls.addClassCleanup(cls.server.end)
        cls.server.start()
        outside = cls.machine.outside
        return outside.wire(1, f"{WIRE4}/24"), outside.wire(2, BRIDGED_PEER4)

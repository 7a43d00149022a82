# SPDX-License-Identifier: BSD-2-Clause
"""A guest whose process owns a VF of the software 82599, lwIP over DPDK's unmodified VF driver: switched both ways under load, and what
becomes of it when the VF fails."""

import os
import sys
import unittest

import case
import lab as laboratory
import switching
from applications import ECHO_PORT
from lab import DEDICATED4, SHARED4
from lwip_load import LwipLoad
from nic_lab import NicLab, require_model
from switch_test import Stream

PER_SECOND = 300  # each way: a register access costs a model 10 us and more


class OnTheNic:
    """A server whose NIC has one VF."""

    config = {}

    @classmethod
    def setUpClass(cls):
        require_model(case.build)
        if not (case.build / "tests/smoke/lwip_guest").exists():
            raise unittest.SkipTest("built without lwIP: install liblwip-dev and build again")
        try:
            laboratory.Lab.check_machine(case.build)
        except laboratory.CannotRun as reason:
            raise unittest.SkipTest(str(reason)) from None
        cls.lab = cls.enterClassContext(NicLab(case.build, vfs=1, config=cls.config))

    def shown(self, name="db1"):
        return self.lab.ctl("guest", name)

    def path(self, name):
        return self.shown(name)["path"]

    def echo_guest(self, name):
        """One that answers at ECHO_PORT, and may have the VF."""
        guest = self.lab.lwip_guest(name, 0, name, "echo", ECHO_PORT)
        self.addCleanup(guest.stop)
        laboratory.wait_until(lambda: "ready" in guest.log, "the guest", explain=guest.tail)
        return guest


class WithAVf(OnTheNic):
    """One guest."""

    def setUp(self):
        self.load = LwipLoad(self.lab, "db1", PER_SECOND)
        self.addCleanup(self.load.kill)

    def switch(self, to):
        """To there it gets."""
        done = switching.Switch(self.lab, "db1", to, "--timeout", "20000")
        self.assertTrue(done.reached, done.reason)
        return done

    def echo(self):
        data = os.urandom(30_000)
        with self.lab.connect(DEDICATED4[0], ECHO_PORT) as stream:
            stream.sendall(data)
            received = b""
            while len(received) < len(data) and (block := stream.recv(65536)):
                received += block
        self.assertEqual(received, data)

    def is_back(self, why):
        """At the rings by itself, with the reason in what the operator sees; the VF is free."""
        self.eventually(lambda: self.shown()["path"] == "server", "the guest to be back")
        last = self.eventually(lambda: (self.shown()["switch"]["step"] == "rings") and self.shown()["switch"]["last"], "the end of the switch")
        self.assertRegex(last["reason"], why)
        self.eventually(lambda: all(vf["guest"] is None for vf in self.lab.ctl("vf")), "the VF to be free")
        self.assertEqual(self.lab.ctl("status")["direct"]["in_use"], 0)


    def nothing_sent_is_lost(self):
        """What the guest sent is all at the wire, once: also what its VF had when that failed."""
        sent = self.load.stop()[1]
        self.assertGreater(sent.received, 100)
        self.assertEqual((sent.lost, sent.doubled), (0, 0), sent.events)


class VfOfAProcess(WithAVf, case.SmokeTest):
    """Tests that break the VF mend it."""

    def test_there_and_back_under_load(self):
        before = self.lab.events()
        self.load.begin_flows(2)
        for _ in range(2):
            self.switch("direct")
            self.echo()
            self.switch("server")
            self.echo()
        streams = self.load.stop()
        self.assertGreater(min(stream.received for stream in streams), 100)
        for stream in streams:
            self.assertEqual((stream.lost, stream.doubled, stream.reordered), (0, 0, 0), f"{stream.name}: {stream.events}")
        self.assertGreater(self.load.flow_bytes, 0)
        events = self.lab.events()
        for fault in ("dma_faults", "bad_requests", "spoofed"):
            self.assertEqual(events[fault], before[fault], fault)

    def test_the_engine_dies_while_direct(self):
        self.switch("direct")
        self.lab.kill_engine()
        self.echo()
        self.eventually(lambda: self.shown()["path"] == "direct", "the next engine to know")
        self.switch("server")
        self.echo()

    def test_the_vf_is_reset(self):
        self.switch("direct")
        self.lab.nic("reset 0")
        self.is_back("lost its VF|link is down")  # the guest sees it, or the server
        self.echo()
        self.switch("direct")
        self.echo()
        self.nothing_sent_is_lost()

    def test_the_vf_is_removed(self):
        self.switch("direct")
        self.lab.nic("remove 0")
        self.addCleanup(self.lab.nic, "return 0")
        self.is_back("lost its VF|link is down")  # the guest sees it, or the server
        self.echo()
        self.assertFalse(switching.Switch(self.lab, "db1", "direct").reached)
        self.echo()
        self.lab.nic("return 0")
        self.switch("direct")
        self.echo()
        self.nothing_sent_is_lost()

    def test_the_mailbox_is_silent(self):
        self.lab.nic("mailbox silent")
        self.addCleanup(self.lab.nic, "mailbox heard")
        done = switching.Switch(self.lab, "db1", "direct")
        self.assertFalse(done.reached)
        self.echo()
        self.lab.nic("mailbox heard")
        self.switch("direct")
        self.lab.nic("mailbox silent")
        self.echo()  # nothing needs it now
        self.switch("server")
        self.echo()


class LinkOfAVf(WithAVf, case.SmokeTest):
    """The guest's leaving its VF comes in DPDK's PF between a change of the link and its second look, and makes it forget that."""

    def test_the_link_goes_and_comes_back(self):
        self.switch("direct")
        self.echo()
        self.lab.nic("link down")
        self.addCleanup(self.lab.nic, "link up")
        self.is_back("lost its VF|link is down")
        self.link_is("down")
        self.lab.nic("link up")
        self.link_is("up")
        self.echo()
        # What the VF's rate is measured by is DPDK's word, which may take a little longer.
        self.eventually(lambda: switching.Switch(self.lab, "db1", "direct", "--timeout", "20000").reached, "the guest to have its VF")
        self.echo()

    def link_is(self, wanted):
        self.eventually(lambda: self.lab.ctl("status")["port"]["link"] == wanted, "the link to be " + wanted)


class VlanOfAVf(OnTheNic, case.SmokeTest):
    """All of the wire's frames carry VLAN 42; the guest, which knows of none, is in it by the rings and by its VF."""

    config = {"network": {"vlan": 42}}

    def test_the_guest_is_in_the_wires_vlan_by_either_way(self):
        try:
            from raw_peer import RawPeer
        except ImportError:
            self.skipTest("needs python3-scapy")
        self.echo_guest("db1")
        inside, outside = (RawPeer(self.lab, address=f"10.9.0.{host}", mac=f"02:00:00:00:00:{host}", tag=tag)
                           for host, tag in ((98, 42), (99, None)))
        for peer in (inside, outside):
            self.addCleanup(peer.close)
        mac = inside.resolve(DEDICATED4[0])
        self.assertEqual(mac, self.shown()["mac"])
        for to in ("direct", "server", "direct"):
            done = switching.Switch(self.lab, "db1", to, "--timeout", "20000")
            self.assertTrue(done.reached, done.reason)
            self.assertEqual(inside.resolve(DEDICATED4[0]), mac)
            self.assertEqual(inside.udp_echo(DEDICATED4[0], ECHO_PORT, to.encode()), to.encode())
            self.assertIsNone(outside.resolve(DEDICATED4[0], timeout_s=0.5))
            outside.destination = mac
            self.assertIsNone(outside.udp_echo(DEDICATED4[0], ECHO_PORT, b"untagged", timeout_s=0.5))
            self.assertIsNotNone(inside.resolve(SHARED4), "the server itself")


class ByLoadOnTheNic(OnTheNic, case.SmokeTest):
    """Two guests and one VF: `switch GUEST auto`, by the NIC's own counters of its VF."""

    # The busy stream is seven times what is needed for a VF: a slow machine may send less.
    config = {"direct.auto": {"enabled": False, "promote_mbps": 1, "demote_mbps": 0, "window_s": 2, "dwell_s": 2, "back_off_s": 1}}
    BUSY_PER_S, QUIET_PER_S = 400, 10  # of 1,000 bytes each way

    def test_the_vf_follows_the_load(self):
        names = ("db1", "db2")
        for name in names:
            self.echo_guest(name)
        first, second = (Stream(self.lab, address, per_s, size=1000, port=ECHO_PORT)
                         for address, per_s in zip(DEDICATED4, (self.BUSY_PER_S, self.QUIET_PER_S)))
        for stream in (first, second):
            laboratory.wait_until(lambda stream=stream: stream.answers, "answers")
        for name in names:
            self.assertIn("by its load from now on", self.lab.ctl_text("switch", name, "auto"))
        self.eventually(lambda: self.path("db1") == "direct", "the busier guest to have the VF")
        self.assertEqual(self.path("db2"), "server")
        self.assertRegex(self.lab.ctl("status")["direct"]["auto"]["last"]["reason"], "Mb/s, and a VF is free")
        self.eventually(lambda: "busy enough for its VF" in (self.shown("db1")["switch"]["why"] or ""), "its load on the VF to be measured")

        first.per_s, second.per_s = self.QUIET_PER_S, self.BUSY_PER_S
        self.eventually(lambda: self.path("db2") == "direct", "the VF to follow the load")
        self.assertEqual(self.path("db1"), "server")
        self.assertRegex(self.shown("db1")["switch"]["last"]["reason"], "by its load: db2 is busier")
        moved = self.lab.ctl("status")["direct"]["auto"]["last"]
        self.assertEqual((moved["guest"], moved["to"]), ("db2", "direct"))
        for stream in (first, second):
            self.assertEqual(stream.end(), ([], []))


if __name__ == "__main__":
    sys.exit(case.main())

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
from lab import DEDICATED4
from lwip_load import LwipLoad
from nic_lab import NicLab, require_model

PER_SECOND = 300  # each way: a register access costs a model 10 us and more


class WithAVf:
    """One guest, one VF."""

    @classmethod
    def setUpClass(cls):
        require_model(case.build)
        if not (case.build / "tests/smoke/lwip_guest").exists():
            raise unittest.SkipTest("built without lwIP: install liblwip-dev and build again")
        try:
            laboratory.Lab.check_machine(case.build)
        except laboratory.CannotRun as reason:
            raise unittest.SkipTest(str(reason)) from None
        cls.lab = cls.enterClassContext(NicLab(case.build, vfs=1))

    def setUp(self):
        self.load = LwipLoad(self.lab, "db1", PER_SECOND)
        self.addCleanup(self.load.kill)

    def shown(self):
        return self.lab.ctl("guest", "db1")

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


if __name__ == "__main__":
    sys.exit(case.main())

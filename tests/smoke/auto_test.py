# SPDX-License-Identifier: BSD-2-Clause
"""Two guests and one VF, which the busier of them has: `librettosctl switch GUEST auto`, with numbered datagrams both ways."""

import case
from lab import DEDICATED4
from switch_test import Stream, WithVfs

BUSY_PER_S, QUIET_PER_S = 400, 10  # of 1,000 bytes each way: 7 Mb/s, and a fortieth of it


class ByLoad(WithVfs, case.SmokeTest):
    # The busy stream is seven times what is needed for a VF: a slow machine may send less.
    config = {"direct.auto": {"enabled": False, "promote_mbps": 1, "demote_mbps": 0, "window_s": 2, "dwell_s": 2, "back_off_s": 1}}

    def way(self, name):
        return self.shown(name)["switch"]["way"]

    def test_the_vf_follows_the_load(self):
        self.guest("db1")
        self.guest("db2")
        first = Stream(self.lab, DEDICATED4[0], BUSY_PER_S, size=1000)
        second = Stream(self.lab, DEDICATED4[1], QUIET_PER_S, size=1000)
        for stream in (first, second):
            stream.way_is("rr")
        self.assertEqual((self.way("db1"), self.path("db1")), ("fixed", "server"))
        for name in ("db1", "db2"):
            self.assertIn("by its load from now on", self.lab.ctl_text("switch", name, "auto"))
        self.eventually(lambda: self.path("db1") == "direct", "the busier guest to have the VF")
        first.way_is("vv")
        self.assertRegex(self.lab.ctl_text("vf"), r"vf0 +up +db1 .* auto +[0-9,]+ +[0-9,]+")
        self.assertEqual(self.path("db2"), "server")

        first.per_s, second.per_s = QUIET_PER_S, BUSY_PER_S
        self.eventually(lambda: self.path("db2") == "direct", "the VF to follow the load")
        self.assertEqual(self.path("db1"), "server")
        second.way_is("vv")
        first.per_s = second.per_s  # to be heard soon: not enough to be twice as busy
        first.way_is("rr")
        moved = self.lab.ctl("status")["direct"]["auto"]["last"]
        self.assertEqual((moved["guest"], moved["to"]), ("db2", "direct"))
        self.assertRegex(self.shown("db1")["switch"]["last"]["reason"], "by its load: db2 is busier")

        self.switch("db2", "server")
        second.way_is("rr")
        for stream in (first, second):
            self.assertEqual(stream.end(), ([], []), dict(stream.ways))
        self.lab.restart_server()
        self.eventually(lambda: self.lab.guest_state("db2") == "connected", "db2 to be connected again")
        self.assertEqual((self.way("db1"), self.way("db2")), ("auto", "fixed"), "the operator's word outlives the server")
        self.assertEqual(self.path("db2"), "server")


if __name__ == "__main__":
    raise SystemExit(case.main())

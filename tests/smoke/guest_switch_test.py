# SPDX-License-Identifier: BSD-2-Clause
"""librettos-guest on its way to a VF and back: its programs' one interface, under load, and what goes wrong on the way."""

import contextlib
import itertools
import signal
import sys
import time
import unittest

import applications
import case
import lab as laboratory
import switching
from applications import ECHO_PORT
from bridged_lab import BridgedLab
from lab import DEDICATED4, DEDICATED6

SWITCHES = 10
FILE_BYTES = 100_000_000
PER_SECOND = 5000


class WithGuests:
    """What the groups share: a bridge's VFs, and guests by librettos-guest."""

    vfs = ["vf0"]

    @classmethod
    def setUpClass(cls):
        try:
            laboratory.Lab.check_machine(case.build, "nginx", "curl")
        except laboratory.CannotRun as reason:
            raise unittest.SkipTest(str(reason)) from None
        cls.lab = cls.enterClassContext(BridgedLab(case.build, vfs=cls.vfs))

    def start(self, name, command=None, *options):
        guest = self.lab.guest(name, command or applications.echo(self.lab), "--dedicated", *options)
        self.addCleanup(guest.stop)
        return guest

    def path(self, name):
        return self.lab.ctl("guest", name)["path"]

    def switch(self, name, to):
        outcome = switching.Switch(self.lab, name, to)
        self.assertTrue(outcome.reached, f"{to}: {outcome.reason}\n{self.lab.guests[name].tail()}")
        return outcome

    def settled(self, name):
        """Where the guest is when no switch is under way."""
        return self.eventually(lambda: self.path(name) if self.path(name) != "switching" else None, f"{name} to get somewhere")

    def answers(self, address=DEDICATED4[0]):
        """A datagram comes back; lost ones are sent again."""
        with self.lab.socket(10 if ":" in address else 2, 2) as peer:
            peer.connect((address, ECHO_PORT))
            peer.settimeout(0.2)
            def came_back():
                peer.send(b"still there?")
                with contextlib.suppress(ConnectionRefusedError):
                    return peer.recv(100) == b"still there?"
            self.eventually(came_back, f"the echo from {address}")

    def vfs_are_free(self):
        return all(vf["guest"] is None and vf["present"] for vf in self.lab.ctl("vf"))

    def interfaces(self, guest):
        words = guest.run(["ip", "-brief", "link"]).split("\n")
        return {line.split()[0].split("@")[0] for line in words if line} - {"lo"}


class UnderLoad(WithGuests, case.SmokeTest):
    """Downloads and numbered datagrams each way while the guest is switched."""

    def setUp(self):
        self.guest = self.start("db", applications.nginx(self.lab.directory, ports=(80,)))
        self.lab.wait_for_tcp(DEDICATED4[0], 80)

    def test_nothing_is_lost(self):
        with switching.Load(self.lab, "db", PER_SECOND) as load:
            switches = switching.bounce(self.lab, "db", SWITCHES)
        self.assertEqual(len(switches), 2 * SWITCHES)
        for stream in load.streams:
            self.assertGreater(stream.received, PER_SECOND // 10)
            self.assertEqual((stream.lost, stream.doubled, stream.reordered), (0, 0, 0),
                             f"{stream.name} of {stream.sent}\n{self.guest.tail(30)}")

    def test_downloads_go_on(self):
        sha256 = applications.random_file(self.lab.directory / "www" / "file", FILE_BYTES)
        with contextlib.ExitStack() as stack:
            downloads = [stack.enter_context(applications.Download(self.lab, f"http://{address}/file", bytes_per_s=25_000_000))
                         for address in (DEDICATED4[0], f"[{DEDICATED6[0]}]")]
            for number in range(SWITCHES):
                for download in downloads:
                    download.wait_for((number + 1) * FILE_BYTES // (SWITCHES + 2))
                self.switch("db", "direct" if number % 2 == 0 else "server")
            for download in downloads:
                self.assertEqual(download.finish(), sha256)

    def test_one_interface_throughout(self):
        def facts():
            return self.guest.run(["ip", "address", "show", "lvif0"]), self.guest.run(["ip", "route"])
        before, links = facts(), self.guest.log.count("link up")
        for to in ("direct", "server"):
            self.switch("db", to)
            self.assertEqual(self.interfaces(self.guest), {"lvif0"})
            self.assertEqual(facts(), before)
        self.assertEqual(self.guest.log.count("link up"), links)


class Trouble(WithGuests, case.SmokeTest):
    """What goes wrong: the guest ends where frames reach it."""

    def setUp(self):
        self.guest = self.start("db")
        self.answers()

    def tearDown(self):
        self.lab.ctl("switch", "db", "server", check=False)
        self.eventually(self.vfs_are_free, "all VFs to be free")

    def kill_in_mid_switch(self, kill, delays_ms):
        """At the mercy of the clock: which step it hits is different each time."""
        for to, delay_ms in zip(itertools.cycle(("direct", "server")), delays_ms):
            command = self.lab.spawn("switch", [self.lab.program("librettosctl"), "--socket", self.lab.directory / "api.sock",
                                                "switch", "db", to])
            time.sleep(delay_ms / 1000)
            kill()
            command.stop()
            self.answers()
            self.settled("db")
            self.answers()
            self.switch("db", "server" if self.path("db") == "direct" else "direct")
            self.answers()

    def test_engine_killed_in_mid_switch(self):
        self.kill_in_mid_switch(self.lab.kill_engine, (5, 12, 20, 28, 36, 44))

    def test_server_killed_in_mid_switch(self):
        self.kill_in_mid_switch(self.lab.restart_server, (8, 20, 32, 44))

    def test_server_killed_while_direct(self):
        """Frames go on without it."""
        self.switch("db", "direct")
        self.lab.kill_server()
        self.answers()
        self.lab.start_server()
        self.eventually(lambda: self.path("db") == "direct", "the guest to be known as direct")
        self.answers()
        self.switch("db", "server")
        self.answers()

    def test_link_of_the_vf_goes_down(self):
        self.switch("db", "direct")
        self.lab.run(["ip", "link", "set", "vf0b", "down"], namespace=self.lab.server)
        self.answers()
        self.assertEqual(self.settled("db"), "server")
        self.lab.run(["ip", "link", "set", "vf0b", "up"], namespace=self.lab.server)
        self.switch("db", "direct")
        self.answers()

    def test_vf_is_pulled_out(self):
        self.switch("db", "direct")
        self.lab.run(["ip", "link", "del", "vf0b"], namespace=self.lab.server)
        self.answers()
        self.assertEqual(self.settled("db"), "server")
        self.eventually(self.vfs_are_free, "the VF to be made anew")
        self.switch("db", "direct")
        self.answers()

    def test_guest_killed_while_direct(self):
        self.switch("db", "direct")
        self.guest.signal(signal.SIGKILL)
        self.guest.wait()
        self.eventually(self.vfs_are_free, "the VF to be taken back")
        self.guest = self.start("db")
        self.answers()
        self.switch("db", "direct")
        self.answers()

    def test_guest_ends_while_direct(self):
        self.switch("db", "direct")
        self.assertEqual(self.guest.stop(), 143, self.guest.tail())
        self.eventually(self.vfs_are_free, "the VF to be taken back")
        self.guest = self.start("db")
        self.answers()


class TwoGuests(WithGuests, case.SmokeTest):
    """And one VF."""

    def test_one_after_the_other(self):
        self.start("db1")
        self.start("db2")
        addresses = {guest["name"]: guest["ipv4"].split("/")[0] for guest in self.lab.ctl("guests")}
        self.switch("db1", "direct")
        refused = self.lab.ctl("switch", "db2", "direct", check=False)
        self.assertEqual(refused["error"]["code"], "busy")
        for address in addresses.values():
            self.answers(address)
        for first, second in (("db1", "db2"), ("db2", "db1")):
            self.switch(first, "server")
            self.switch(second, "direct")
            for address in addresses.values():
                self.answers(address)
            # The one on the VF and the one behind the server reach each other.
            namespace = self.lab.guests[first].namespace
            self.lab.run(["ping", "-n", "-c", "2", "-i", "0.2", "-W", "5", addresses[second]], namespace=namespace)

    def test_a_guest_without_vf_says_so(self):
        self.start("db3", None, "--vf", "none")
        refused = self.lab.ctl("switch", "db3", "direct", check=False)
        said = refused["error"]["message"] if not refused["ok"] else refused["result"]["switch"]["last"]["reason"]
        self.assertTrue(said)
        self.assertEqual(self.path("db3"), "server")


if __name__ == "__main__":
    sys.exit(case.main())

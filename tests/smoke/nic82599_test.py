# SPDX-License-Identifier: BSD-2-Clause
"""The release binary of the server on the software 82599 (nic_lab.py)."""

import sys
import unittest

import applications
import case
import lab as laboratory
from applications import ECHO_PORT
from lab import DEDICATED4, SHARED4, SHARED6, WIRE4, WIRE6
from nic_lab import PF, NicLab, require_model


class StockTestpmd(case.SmokeTest):
    """DPDK's own program, as its package has it, with a NIC of its own: it answers ARP and pings."""

    @classmethod
    def setUpClass(cls):
        require_model(case.build)
        cls.make_lab("dpdk-testpmd", "ping", start=False)

    def test_it_answers_pings(self):
        library = case.build / "tests/nic82599/libnic82599-preload.so"
        testpmd = self.lab.spawn("testpmd", [
            "env", f"LD_PRELOAD={library}", "NIC82599_WIRE=port0", "dpdk-testpmd", "--no-huge", "--no-shconf", "-m", "256", "--iova-mode=va",
            "--no-telemetry", "-l", "0,1", "-a", PF, "--", "--forward-mode=icmpecho", "--auto-start", "--total-num-mbufs=8192", "--stats-period=600"],
            namespace=self.lab.server)

        def answers():
            if testpmd.status is not None:
                raise laboratory.Ended(testpmd.tail(30))
            return " 0% packet loss" in self.lab.run(["ping", "-n", "-c", "3", "-i", "0.1", "-W", "1", SHARED4], check=False).stdout
        self.eventually(answers, "answers of testpmd")


def make_lab(group, vfs):
    """group.lab, with a guest that shares the server's address and one with its own."""
    require_model(case.build)
    try:
        laboratory.Lab.check_machine(case.build, "ping", "nginx", "curl")
    except laboratory.CannotRun as reason:
        raise unittest.SkipTest(str(reason)) from None
    group.lab = lab = group.enterClassContext(NicLab(case.build, vfs))
    lab.guest("echo", applications.echo(lab), wait=False)
    lab.guest("db", applications.nginx(lab.directory, file_bytes=5_000_000), "--dedicated", wait=False)
    lab.wait_for_tcp(SHARED4, ECHO_PORT)
    lab.wait_for_tcp(DEDICATED4[0], 80)


def echo(test, address):
    """To the guest that shares the address, and back."""
    data = bytes(range(256)) * 400
    with test.lab.connect(address, ECHO_PORT) as connection:
        connection.sendall(data)
        received = b""
        while len(received) < len(data):
            piece = connection.recv(65536)
            test.assertTrue(piece, "the connection ended")
            received += piece
    test.assertEqual(received, data)


def ping(test, address, namespace=None):
    done = test.lab.run(["ping", "-n", "-c", "3", "-i", "0.1", "-W", "5", address], namespace=namespace)
    test.assertIn(" 0% packet loss", done.stdout)


def connections_and_pings(test):
    """Both ways, by both versions of IP."""
    for address in (SHARED4, SHARED6):
        with test.subTest(address=address):
            test.lab.wait_for_tcp(address, ECHO_PORT)
            echo(test, address)
            ping(test, address)
    for address in (WIRE4, WIRE6):
        with test.subTest(address=address):
            ping(test, address, test.lab.guests["echo"].namespace)


def download(test):
    """From the guest with an address of its own."""
    with applications.Download(test.lab, f"http://{DEDICATED4[0]}/file") as transfer:
        test.assertEqual(transfer.finish(), applications.sha256_of_file(test.lab, "db"))


def no_faults(test):
    events = test.lab.events()
    test.assertEqual((events["dma_faults"], events["bad_requests"], events["spoofed"]), (0, 0, 0))


class BesideIdleVfs(case.SmokeTest):
    """The PF has VFs, which nobody has used yet."""

    @classmethod
    def setUpClass(cls):
        make_lab(cls, vfs=2)

    def test_traffic(self):
        connections_and_pings(self)
        download(self)
        no_faults(self)

    def test_the_server_knows_its_vfs(self):
        status = self.lab.ctl("status")["direct"]
        self.assertEqual((status["steering"], status["vfs"], status["in_use"]), ("ixgbe", 2, 0))
        vfs = self.eventually(lambda: (all(vf["present"] for vf in self.lab.ctl("vf")) and self.lab.ctl("vf")), "word of the VFs")
        self.assertEqual([vf["interface"] for vf in vfs], ["0000:01:10.0", "0000:01:10.2"])
        self.assertEqual({vf["link"] for vf in vfs}, {"down"})


class OnTheModel(case.SmokeTest):
    """No VFs."""

    @classmethod
    def setUpClass(cls):
        make_lab(cls, vfs=0)

    def tearDown(self):
        no_faults(self)

    def test_the_server_drives_the_pf(self):
        port = self.lab.ctl("status")["port"]
        self.assertEqual((port["device"], port["driver"]), (PF, "net_ixgbe"))
        self.assertGreater(self.lab.events()["delivered"], 0)
        self.assertGreater(self.lab.events()["transmitted"], 0)

    def test_traffic(self):
        connections_and_pings(self)
        download(self)

    def test_the_nic_outlives_an_engine(self):
        with self.lab.connect(SHARED4, ECHO_PORT) as connection:
            for word in (b"before", b"after."):
                connection.sendall(word)
                self.assertEqual(connection.recv(100), word)
                self.lab.kill_engine()
        echo(self, SHARED4)

    def test_the_server_starts_again_on_the_same_nic(self):
        self.lab.restart_server()
        self.lab.wait_for_tcp(SHARED4, ECHO_PORT)
        echo(self, SHARED4)

    def test_traffic_goes_on_after_a_link_flap(self):
        self.assertEqual(self.lab.nic("link down"), "done")
        self.eventually(lambda: self.lab.ctl("status")["port"]["link"] == "down", "the server to see it")
        self.assertEqual(self.lab.nic("link up"), "done")
        self.eventually(lambda: self.lab.ctl("status")["port"]["link"] == "up", "the server to see it")
        self.lab.wait_for_tcp(SHARED4, ECHO_PORT)
        echo(self, SHARED4)


if __name__ == "__main__":
    sys.exit(case.main())

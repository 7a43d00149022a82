# SPDX-License-Identifier: BSD-2-Clause
"""What guests and operators do while the server runs: ports claimed and released, rate limits, detach and attach."""

import json
import re
import socket
import sys
import time

import applications
import case
from lab import SHARED4, SHARED6, Failure

# Binds PROTOCOL ADDRESS PORT, prints the outcome, and waits for the end when it got it.
BIND = """
import errno, socket, sys, time
kind = socket.SOCK_STREAM if sys.argv[1] == "tcp" else socket.SOCK_DGRAM
peer = socket.socket(socket.AF_INET6 if ":" in sys.argv[2] else socket.AF_INET, kind)
try:
    peer.bind((sys.argv[2], int(sys.argv[3])))
except OSError as error:
    print(errno.errorcode[error.errno])
    sys.exit(1)
print("bound", peer.getsockname()[1], flush=True)
time.sleep(1000)
"""


def bind(protocol, address, port):
    return [sys.executable, "-c", BIND, protocol, address, str(port)]


class Ports(case.SmokeTest):
    """Whose port is it?"""

    @classmethod
    def setUpClass(cls):
        lab = cls.make_lab("redis-server", "redis-cli", hypervisord_options=["--quarantine", "0"])
        lab.guest("cache", applications.redis())
        lab.wait_for_tcp(SHARED4, 6379)

    def owner(self, port, protocol="tcp"):
        """Name of the guest that has bound it, or None."""
        reply = self.lab.ctl("ports", "who", port, check=False)
        found = [entry for entry in reply.get("result", []) if entry["protocol"] == protocol and entry["state"] == "bound"]
        return found[0]["owner"] if found else None

    def outcome(self, name, command):
        """What the guest's command says about its bind."""
        guest = self.lab.guest(name, command, wait=False)
        said = self.eventually(lambda: re.search(r"^(bound|bind|EADDRINUSE).*", guest.log, re.M), f"{name}'s bind")
        return guest, said[0]

    def test_conflict(self):
        for protocol, address in (("tcp", "0.0.0.0"), ("tcp", "::"), ("tcp", SHARED4)):
            with self.subTest(address=address):
                guest, said = self.outcome(f"thief-{len(self.lab.guests)}", bind(protocol, address, 6379))
                self.assertEqual(said, "EADDRINUSE")
                self.assertEqual(guest.wait(), 1)
        self.assertEqual(self.owner(6379), "cache")

    def test_tcp_and_udp_are_apart(self):
        guest, said = self.outcome("udp6379", bind("udp", "0.0.0.0", 6379))
        self.assertEqual(said, "bound 6379")
        self.assertEqual((self.owner(6379, "udp"), self.owner(6379)), ("udp6379", "cache"))
        guest.stop()

    def test_loopback_is_everyones_own(self):
        guest, said = self.outcome("inside", bind("tcp", "127.0.0.1", 6379))
        self.assertEqual(said, "bound 6379")
        guest.stop()

    def test_chosen_ports_are_leased_ones(self):
        guest, said = self.outcome("chooser", bind("tcp", "0.0.0.0", 0))
        self.assertEqual(self.owner(int(said.split()[1])), "chooser")
        guest.stop()

    def test_released_with_the_last_socket(self):
        first = self.lab.guest("mover", applications.redis(7000))
        self.lab.wait_for_tcp(SHARED4, 7000)
        self.assertEqual(self.owner(7000), "mover")
        self.assertEqual(self.lab.run(["redis-cli", "-h", SHARED4, "-p", "7000", "config", "set", "port", "7001"]).stdout.strip(), "OK")
        self.lab.wait_for_tcp(SHARED4, 7001)
        self.eventually(lambda: self.owner(7000) is None, "port 7000 to be free again")
        second, said = self.outcome("successor", bind("tcp", "0.0.0.0", 7000))
        self.assertEqual(said, "bound 7000")
        first.stop()
        second.stop()

    def test_released_with_the_guest(self):
        guest, said = self.outcome("brief", bind("tcp", "0.0.0.0", 7100))
        self.assertEqual((said, self.owner(7100)), ("bound 7100", "brief"))
        guest.stop()
        self.eventually(lambda: self.owner(7100) is None, "port 7100 to be free again")

    def test_static_binary(self):
        program = case.build / "tests/unit/linux/socket_program_static"
        if not program.exists():
            self.skipTest(f"{program.name} has not been built")
        guest, said = self.outcome("static", [str(program), "tcp4", "bind", "0.0.0.0", "6379"])
        self.assertEqual(said.split()[:2], ["bind", "EADDRINUSE"], guest.log)
        guest, said = self.outcome("static2", [str(program), "tcp4", "bind", "0.0.0.0", "7200", "listen", "accept"])
        self.eventually(lambda: "listen ok" in guest.log, "the static program to listen")
        self.assertEqual(self.owner(7200), "static2")
        self.lab.connect(SHARED4, 7200).close()
        self.eventually(lambda: "accept ok" in guest.log, "the static program to accept")
        guest.stop()


class Quarantine(case.SmokeTest):
    """A guest's ports are kept for its name for a while."""

    @classmethod
    def setUpClass(cls):
        cls.make_lab(hypervisord_options=["--quarantine", "600"])

    def test_kept_for_the_same_name(self):
        guest = self.lab.guest("web", bind("tcp", "0.0.0.0", 8080))
        self.eventually(lambda: "bound" in guest.log, "the port")
        guest.signal(9)
        guest.wait()
        self.eventually(lambda: self.lab.ctl("ports", "who", 8080)[0]["state"] == "quarantined", "the quarantine")
        other = self.lab.guest("other", bind("tcp", "0.0.0.0", 8080), wait=False)
        self.assertEqual(other.wait(), 1)
        self.assertIn("EADDRINUSE", other.log)
        self.assertIn("quarantine", self.lab.ctl_text("ports", "why", 8080))
        again = self.lab.guest("web", bind("tcp", "0.0.0.0", 8080), wait=False)
        self.eventually(lambda: again.log.count("bound 8080") == 2, "the port to come back to its name")


class Limits(case.SmokeTest):
    """librettosctl limit."""

    @classmethod
    def setUpClass(cls):
        lab = cls.make_lab("iperf3")
        lab.guest("perf", ["iperf3", "-s"], wait=False)
        lab.wait_for_tcp(SHARED4, 5201)

    def megabits_per_s(self, *options):
        """What the guest sends in a second."""
        def once():
            report = json.loads(self.lab.run(["iperf3", "-c", SHARED4, "-J", "-R", "-t", "2", *options], check=False).stdout)
            if "error" in report:
                raise Failure(report["error"])
            return report["end"]["sum" if "-u" in options else "sum_received"]
        return self.eventually(once, "a run of iperf3")["bits_per_second"] / 1e6

    def test_bits_per_s(self):
        self.assertEqual(self.lab.ctl("limit", "perf", "--bits-per-s", "20M")["bits_per_s"], 20_000_000)
        limited = self.megabits_per_s("-O", "1")
        self.assertLess(limited, 24)
        self.assertGreater(limited, 10)
        self.assertGreater(self.lab.counters("perf").get("throttled", 0), 0)
        self.assertEqual(self.lab.ctl("limit", "perf", "--bits-per-s", "0")["bits_per_s"], 0)
        self.assertGreater(self.megabits_per_s(), 40)

    def test_frames_per_s(self):
        self.lab.ctl("limit", "perf", "--frames-per-s", "500")
        sent_before, before = self.lab.counters("perf")["from_guest_frames"], time.monotonic()
        self.megabits_per_s("-u", "-l", "1000", "-b", "30M")
        sent, seconds = self.lab.counters("perf")["from_guest_frames"] - sent_before, time.monotonic() - before
        self.lab.ctl("limit", "perf", "--frames-per-s", "0")
        self.assertLess(sent, 500 * (seconds + 1) * 1.1)  # and a burst
        self.assertGreater(sent, 500)

    def test_ports(self):
        before = self.lab.ctl("guest", "perf")["limit"]["ports"]
        self.assertEqual(self.lab.ctl("limit", "perf", "--ports", "2000")["ports"], 2000)
        self.assertEqual(self.lab.ctl("limit", "perf", "--ports", str(before))["ports"], before)

    def test_nonsense_is_refused(self):
        reply = self.lab.ctl("limit", "nobody", "--bits-per-s", "1M", check=False)
        self.assertEqual((reply["ok"], reply["error"]["code"]), (False, "not-found"))


class DetachAttach(case.SmokeTest):
    """librettosctl detach and attach, under a program that never notices more than a pause."""

    places = ("local", "xen")

    @classmethod
    def setUpClass(cls):
        lab = cls.make_lab("redis-server", "redis-cli")
        lab.guest("cache", applications.redis())
        lab.guest("other", applications.redis(6380))
        for port in (6379, 6380):
            lab.wait_for_tcp(SHARED4, port)

    def ask(self):
        """What redis says to "GET key", or nothing within a second."""
        try:
            with self.lab.connect(SHARED4, 6379, timeout_s=1) as connection:
                connection.sendall(b"GET key\r\n")
                return connection.recv(100)
        except OSError:
            return b""

    def test_away_and_back(self):
        lab = self.lab
        lab.run(["redis-cli", "-h", SHARED4, "set", "key", "value"])
        with lab.connect(SHARED4, 6379) as connection:
            lab.ctl("detach", "cache", "--reason", "moved to rack 7")
            state = self.eventually(lambda: (now := lab.ctl("guest", "cache"))["state"] == "detached" and now, "detached")
            self.assertIn("moved to rack 7", state["detach_reason"])
            self.assertEqual(self.ask(), b"")
            self.assertEqual(lab.run(["redis-cli", "-h", SHARED4, "-p", "6380", "ping"]).stdout.strip(), "PONG")
            self.assertIn("moved to rack 7", lab.guests["cache"].log)
            self.assertEqual(lab.ctl("ports", "who", 6379)[0]["owner"], "cache")
            lab.ctl("attach", "cache")
            self.eventually(lambda: lab.guest_state("cache") == "connected", "the guest to be back")
            self.eventually(lambda: b"value" in self.ask(), "redis to answer again")
            connection.sendall(b"GET key\r\n")
            self.assertIn(b"value", connection.recv(100))
        with lab.socket(socket.AF_INET6, socket.SOCK_STREAM) as unserved, self.assertRaises(ConnectionRefusedError):
            unserved.connect((SHARED6, 6379))  # redis is bound to IPv4 alone; the guest's own stack says so

    def test_detached_over_the_death_of_the_server(self):
        lab = self.lab
        lab.ctl("detach", "other", "--reason", "on purpose")
        self.eventually(lambda: lab.guest_state("other") == "detached", "detached")
        lab.kill_engine()
        self.assertEqual(lab.guest_state("other"), "detached")
        lab.restart_server()
        self.assertEqual(lab.guest_state("other"), "detached")
        lab.ctl("attach", "other")
        self.eventually(lambda: lab.guest_state("other") == "connected", "the guest to be back")
        lab.wait_for_tcp(SHARED4, 6380)


if __name__ == "__main__":
    sys.exit(case.main())

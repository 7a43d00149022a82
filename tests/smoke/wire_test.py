# SPDX-License-Identifier: BSD-2-Clause
"""The wire's forms: fragments, path MTU, ports without an owner, VLAN tags, jumbo frames, damaged checksums, several queues."""

import contextlib
import os
import socket
import subprocess
import sys
import unittest

import applications
import case
import lab as laboratory
from applications import ECHO_PORT
from lab import DEDICATED4, DEDICATED6, SHARED4, SHARED6, WIRE4, WIRE6

NOBODYS_PORT = 4242  # of no other group's either: domUs live on, and what one's program owned when there was no server stays its own


def udp_socket(lab, address, namespace=None, port=ECHO_PORT):
    """Connected."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    result = lab.socket(family, socket.SOCK_DGRAM, namespace=namespace)
    result.connect((address, port))
    result.settimeout(2)
    return result


def udp_echo(lab, address, data, attempts=5):
    """What came back; a lost datagram is sent again."""
    with udp_socket(lab, address) as peer:
        for _ in range(attempts):
            peer.send(data)
            try:
                return peer.recv(65536)
            except TimeoutError:
                continue
    return None


class Fragments(case.SmokeTest):
    """Packets larger than the MTU."""

    @classmethod
    def setUpClass(cls):
        lab = cls.make_lab("ping")
        lab.guest("echo", applications.echo(lab), wait=False)
        lab.guest("other", applications.redis(), wait=False)
        lab.guest("db", applications.echo(lab), "--dedicated", wait=False)
        for address in (SHARED4, DEDICATED4[0]):
            lab.wait_for_tcp(address, ECHO_PORT)

    def ping(self, address, *options, namespace=None):
        done = self.lab.run(["ping", "-n", "-c", "3", "-i", "0.1", "-W", "5", *options, address], namespace=namespace)
        self.assertIn(" 0% packet loss", done.stdout)

    def test_ping_of_a_guest_with_its_own_address(self):
        for address in (DEDICATED4[0], DEDICATED6[0]):
            with self.subTest(address=address):
                self.ping(address, "-s", "60000")

    def test_ping_of_the_wire_by_guests(self):
        for name in ("echo", "db"):
            for address in (WIRE4, WIRE6):
                with self.subTest(guest=name, address=address):
                    self.ping(address, "-s", "60000", namespace=self.lab.guests[name].namespace)

    def test_ping_of_the_shared_address(self):
        for address in (SHARED4, SHARED6):
            with self.subTest(address=address):
                self.ping(address, "-s", "1400")

    def test_datagrams(self):
        for address in (SHARED4, SHARED6, DEDICATED4[0], DEDICATED6[0]):
            for size in (1, 1472, 1473, 3000, 60_000):
                with self.subTest(address=address, size=size):
                    data = os.urandom(size)
                    self.assertEqual(udp_echo(self.lab, address, data), data)

    def test_too_big_for_the_wire(self):
        done = self.lab.run(["ping", "-n", "-c", "1", "-M", "do", "-s", "3000", WIRE4],
                            namespace=self.lab.guests["echo"].namespace, check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("mtu=1500", (done.stdout + done.stderr).replace(" = ", "="))


class PathMtu(case.SmokeTest):
    """Behind the wire is a router whose other side takes 1400 bytes; the hosts there believe in 1500."""

    FAR4, FAR6 = "10.8.0.2", "fd08::2"

    @classmethod
    def setUpClass(cls):
        lab = cls.make_lab("nginx", "curl", "ping")
        cls.far = f"{lab.prefix}-far"
        for words in (
            f"netns add {cls.far}",
            f"link add far0 netns {cls.far} type veth peer name far1 netns {lab.wire}",
            f"-n {lab.wire} link set far1 mtu 1400 up", f"-n {cls.far} link set far0 up",
            f"-n {lab.wire} addr add 10.8.0.1/24 dev far1", f"-n {lab.wire} addr add fd08::1/64 dev far1 nodad",
            f"-n {cls.far} addr add {cls.FAR4}/24 dev far0", f"-n {cls.far} addr add {cls.FAR6}/64 dev far0 nodad",
            f"-n {cls.far} route add default via 10.8.0.1", f"-n {cls.far} route add default via fd08::1",
        ):
            subprocess.run(["ip", *words.split()], check=True)
        lab.run(["sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"])
        lab.run(["ethtool", "-K", "far0", "tso", "off", "gso", "off", "gro", "off", "tx", "off"], namespace=cls.far)
        lab.guest("web", applications.nginx(lab.directory), wait=False)
        lab.guest("other", applications.redis())
        lab.guest("db", applications.nginx(lab.directory, name="db"), "--dedicated", wait=False)
        cls.sha256 = applications.random_file(lab.directory / "www" / "file", 3_000_000)
        for address in (SHARED4, SHARED6, DEDICATED4[0]):
            lab.wait_for_tcp(address, 80, namespace=cls.far)

    def known_mtu(self, guest, address):
        """Whether the guest's kernel has learned 1400 for the address."""
        route = self.lab.run(["ip", "route", "get", address], namespace=self.lab.guests[guest].namespace).stdout
        return "mtu 1400" in route

    def check_tcp(self, guest, served, far):
        self.assertFalse(self.known_mtu(guest, far), "nothing has been learned yet")
        host = f"[{served}]" if ":" in served else served
        with applications.Download(self.lab, f"http://{host}/file", namespace=self.far) as download:
            self.assertEqual(download.finish(), self.sha256)
        self.assertTrue(self.known_mtu(guest, far))
        self.assertFalse(self.known_mtu("other", far), "the error was for the owner of port 80 alone")

    def test_tcp_ipv4(self):
        self.check_tcp("web", SHARED4, self.FAR4)

    def test_tcp_ipv6(self):
        self.check_tcp("web", SHARED6, self.FAR6)

    def test_tcp_of_a_dedicated_guest(self):
        self.check_tcp("db", DEDICATED4[0], self.FAR4)

    def test_ping(self):
        """The error quotes an echo request: it is for the guest that sent that identifier."""
        namespace = self.lab.guests["other"].namespace
        done = self.lab.run(["ping", "-n", "-c", "2", "-i", "0.2", "-M", "do", "-s", "1450", self.FAR4],
                            namespace=namespace, check=False)
        self.assertRegex(done.stdout + done.stderr, r"(mtu = 1400|mtu=1400)")
        self.lab.run(["ip", "route", "flush", "cache"], namespace=namespace)


class UnownedPorts(case.SmokeTest):
    """What the server says for ports that nobody has."""

    places = ("local", "xen")

    @classmethod
    def setUpClass(cls):
        cls.make_lab().guest("cache", applications.redis())

    def test_tcp_is_reset(self):
        for address in (SHARED4, SHARED6):
            with self.subTest(address=address), self.assertRaises(ConnectionRefusedError):
                self.lab.connect(address, NOBODYS_PORT)

    def test_udp_is_unreachable(self):
        for address in (SHARED4, SHARED6):
            with self.subTest(address=address), udp_socket(self.lab, address, port=NOBODYS_PORT) as peer:
                peer.send(b"anybody?")
                with self.assertRaises(ConnectionRefusedError):
                    peer.recv(100)

    def test_counted(self):
        before = self.lab.counters().get("drop_unowned_port", 0)
        with self.assertRaises(ConnectionRefusedError):
            self.lab.connect(SHARED4, NOBODYS_PORT)
        self.eventually(lambda: self.lab.counters().get("drop_unowned_port", 0) == before + 1, "the drop to be counted")


class SilentPorts(case.SmokeTest):
    """The same with unowned_tcp and unowned_udp silent."""

    @classmethod
    def setUpClass(cls):
        cls.make_lab(config={"network": {"unowned_tcp": "silent", "unowned_udp": "silent"}}).guest("some", applications.redis())

    def test_nothing_is_answered(self):
        self.lab.wait_for_tcp(SHARED4, 6379)
        with self.assertRaises(TimeoutError):
            self.lab.connect(SHARED4, NOBODYS_PORT, timeout_s=1)
        with udp_socket(self.lab, SHARED4, port=NOBODYS_PORT) as peer:
            peer.settimeout(1)
            peer.send(b"anybody?")
            with self.assertRaises(TimeoutError):
                peer.recv(100)


class Tagged(case.SmokeTest):
    """All frames on the wire carry VLAN 42. The kernel's wire side is untagged and thus another network."""

    @classmethod
    def setUpClass(cls):
        raw_peer = _raw_peer()
        lab = cls.make_lab(config={"network": {"vlan": 42}})
        lab.guest("echo", applications.echo(lab))
        lab.guest("db", applications.echo(lab), "--dedicated")
        for name in ("echo", "db"):
            laboratory.wait_until(lambda name=name: _listens(lab.guests[name].namespace), "the echo servers")
        cls.raw_peer = raw_peer

    def peer(self, tag):
        peer = self.raw_peer.RawPeer(self.lab, tag=tag)
        self.addCleanup(peer.close)
        return peer

    def test_udp(self):
        for address in (SHARED4, DEDICATED4[0]):
            with self.subTest(address=address):
                peer = self.peer(42)
                self.assertIsNotNone(peer.resolve(address))
                self.assertEqual(peer.udp_echo(address, ECHO_PORT, b"through the VLAN"), b"through the VLAN")

    def test_tcp(self):
        for address in (SHARED4, DEDICATED4[0]):
            with self.subTest(address=address):
                peer = self.peer(42)
                peer.resolve(address)
                connection = self.raw_peer.RawConnection(peer, address, ECHO_PORT)
                for number in range(5):
                    connection.send(b"segment %d" % number)
                    self.assertEqual(connection.receive(), b"segment %d" % number)
                connection.reset()

    def test_other_tags_are_other_networks(self):
        mac = self.peer(42).resolve(SHARED4)
        for tag in (None, 43):
            with self.subTest(tag=tag):
                before = self.lab.counters().get("drop_vlan", 0)
                peer = self.peer(tag)
                self.assertIsNone(peer.resolve(SHARED4, timeout_s=0.5))
                peer.destination = mac
                self.assertIsNone(peer.udp_echo(SHARED4, ECHO_PORT, b"wrong VLAN", timeout_s=0.5))
                self.assertGreaterEqual(self.lab.counters().get("drop_vlan", 0), before + 2)


class DamagedChecksums(case.SmokeTest):
    """What a damaged frame carries does not reach a program, and the good one after it does."""

    @classmethod
    def setUpClass(cls):
        cls.raw_peer = _raw_peer()
        lab = cls.make_lab()
        lab.guest("echo", applications.echo(lab), wait=False)
        lab.guest("db", applications.echo(lab), "--dedicated", wait=False)
        for address in (SHARED4, DEDICATED4[0]):
            lab.wait_for_tcp(address, ECHO_PORT)

    def setUp(self):
        self.peer = self.raw_peer.RawPeer(self.lab)
        self.addCleanup(self.peer.close)

    def test_udp(self):
        for address in (SHARED4, DEDICATED4[0]):
            with self.subTest(address=address):
                self.peer.resolve(address)
                self.assertEqual(self.peer.udp_echo(address, ECHO_PORT, b"good"), b"good")
                self.assertIsNone(self.peer.udp_echo(address, ECHO_PORT, b"damaged", checksum=0x1234, timeout_s=0.7))
                self.assertEqual(self.peer.udp_echo(address, ECHO_PORT, b"good again"), b"good again")

    def test_tcp(self):
        for address in (SHARED4, DEDICATED4[0]):
            with self.subTest(address=address):
                self.peer.resolve(address)
                connection = self.raw_peer.RawConnection(self.peer, address, ECHO_PORT)
                connection.send(b"first")
                self.assertEqual(connection.receive(), b"first")
                connection.send(b"damaged", checksum=0x1234)
                self.assertIsNone(connection.receive(timeout_s=0.7))
                connection.send(b"correct")
                self.assertEqual(connection.receive(), b"correct")
                connection.reset()

    def test_tcp_segments_in_a_row(self):
        """Segments that could be merged into one frame for the guest, the middle one damaged."""
        self.peer.resolve(SHARED4)
        connection = self.raw_peer.RawConnection(self.peer, SHARED4, ECHO_PORT)
        connection.send(b"a" * 1000)
        connection.send(b"X" * 1000, checksum=0x1234)
        connection.send(b"b" * 1000)
        connection.send(b"c" * 1000)
        echoed = b""
        while len(echoed) < 3000 and (data := connection.receive()) is not None:
            echoed += data
        self.assertEqual(echoed, b"a" * 1000 + b"b" * 1000 + b"c" * 1000)
        connection.reset()


class Jumbo(case.SmokeTest):
    """MTU 9000."""

    @classmethod
    def setUpClass(cls):
        lab = cls.make_lab("nginx", "curl", "ping", mtu=9000)
        lab.guest("web", applications.nginx(lab.directory), wait=False)
        lab.guest("echo", applications.echo(lab), wait=False)
        lab.guest("db", applications.echo(lab), "--dedicated", wait=False)
        cls.sha256 = applications.random_file(lab.directory / "www" / "file", 20_000_000)
        for address, port in ((SHARED4, 80), (SHARED4, ECHO_PORT), (DEDICATED4[0], ECHO_PORT)):
            lab.wait_for_tcp(address, port)

    def test_guests_know(self):
        for guest in self.lab.guests.values():
            self.assertIn("mtu 9000", self.lab.run(["ip", "link", "show", "lvif0"], namespace=guest.namespace).stdout)

    def test_ping(self):
        for address in (SHARED4, DEDICATED4[0]):
            with self.subTest(address=address):
                done = self.lab.run(["ping", "-n", "-c", "2", "-i", "0.1", "-W", "5", "-M", "do", "-s", "8972", address])
                self.assertIn(" 0% packet loss", done.stdout)

    def test_datagrams(self):
        for address in (SHARED4, SHARED6, DEDICATED4[0]):
            for size in (8900, 8952, 20_000):
                with self.subTest(address=address, size=size):
                    data = os.urandom(size)
                    self.assertEqual(udp_echo(self.lab, address, data), data)

    def test_tcp(self):
        before = self.lab.counters()
        with applications.Download(self.lab, f"http://{SHARED4}/file") as download:
            self.assertEqual(download.finish(), self.sha256)
        after = self.lab.counters()
        frames, bytes_ = (after[f"wire_tx_{what}"] - before.get(f"wire_tx_{what}", 0) for what in ("frames", "bytes"))
        self.assertGreater(bytes_ / frames, 6000, "frames on the wire are large")

    def test_guest_to_guest(self):
        with applications.Download(self.lab, f"http://{SHARED4}/file", namespace=self.lab.guests["db"].namespace) as download:
            self.assertEqual(download.finish(), self.sha256)


class SeveralQueues(case.SmokeTest):
    """Two data threads, two queues of the port, two queue pairs of each guest."""

    @classmethod
    def setUpClass(cls):
        lab = cls.make_lab("nginx", "curl", "ping", config={"data": {"threads": 2}})
        lab.guest("web", applications.nginx(lab.directory), "--queues", "2", wait=False)
        lab.guest("db", applications.nginx(lab.directory, name="db"), "--dedicated", "--queues", "2", wait=False)
        lab.guest("echo", applications.echo(lab), "--queues", "2", wait=False)
        cls.sha256 = applications.random_file(lab.directory / "www" / "file", 5_000_000)
        for address, port in ((SHARED4, 80), (SHARED4, ECHO_PORT), (DEDICATED4[0], 80)):
            lab.wait_for_tcp(address, port)

    def test_as_configured(self):
        status = self.lab.ctl("status")
        self.assertEqual((status["data_threads"], status["port"]["queues"]), (2, 2))
        self.assertEqual([guest["queues"] for guest in self.lab.ctl("guests")], [2, 2, 2])

    def fetch_in_parallel(self, address, namespace=None, kill=False):
        with contextlib.ExitStack() as stack:
            downloads = [stack.enter_context(applications.Download(self.lab, f"http://{address}/file", namespace=namespace))
                         for _ in range(6)]
            if kill:
                downloads[0].wait_for(500_000)
                self.lab.kill_engine()
            for download in downloads:
                self.assertEqual(download.finish(), self.sha256)

    def test_from_the_wire(self):
        for address in (SHARED4, f"[{SHARED6}]", DEDICATED4[0]):
            with self.subTest(address=address):
                self.fetch_in_parallel(address)
        self.assertTrue(all(thread["turns"] > 0 for thread in self.lab.ctl("stats")["threads"]))

    def test_fragments(self):
        """First and later fragments of a datagram come through different queues."""
        for address in (SHARED4, SHARED6):
            for size in (3000, 30_000):
                with self.subTest(address=address, size=size):
                    data = os.urandom(size)
                    self.assertEqual(udp_echo(self.lab, address, data), data)

    def test_ping(self):
        """What is asked through one queue and answered through another."""
        for name in ("web", "echo", "db"):
            for address in (WIRE4, WIRE6):
                for size in ("56", "20000"):
                    with self.subTest(guest=name, address=address, size=size):
                        done = self.lab.run(["ping", "-n", "-c", "3", "-i", "0.05", "-W", "5", "-s", size, address],
                                            namespace=self.lab.guests[name].namespace)
                        self.assertIn(" 0% packet loss", done.stdout)

    def test_guest_to_guest(self):
        self.fetch_in_parallel(DEDICATED4[0], self.lab.guests["web"].namespace)

    def test_over_the_death_of_the_engine(self):
        self.fetch_in_parallel(SHARED4, kill=True)


def _raw_peer():
    """The module of that name, which needs scapy."""
    try:
        import raw_peer
    except ImportError as error:
        raise unittest.SkipTest(f"{error}: apt-get install python3-scapy") from None
    return raw_peer


def _listens(namespace):
    done = subprocess.run(["ip", "netns", "exec", namespace, "ss", "-Hlnu"], capture_output=True, text=True, check=False)
    return f":{ECHO_PORT} " in done.stdout


if __name__ == "__main__":
    sys.exit(case.main())

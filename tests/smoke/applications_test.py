# SPDX-License-Identifier: BSD-2-Clause
"""Real programs over IPv4 and IPv6: nginx and curl, redis, iperf3, DNS, guests with addresses of their own."""

import json
import sys

import applications
import case
from lab import DEDICATED4, DEDICATED6, SHARED4, SHARED6, WIRE4, WIRE6, Failure


class Servers(case.SmokeTest):
    """nginx and redis on one address."""

    places = ("local", "xen")

    @classmethod
    def setUpClass(cls):
        lab = cls.make_lab("nginx", "curl", "redis-server", "redis-cli", "redis-benchmark")
        lab.guest("web", applications.nginx(lab.directory, file_bytes=lab.scaled(20_000_000)), wait=False)
        lab.guest("cache", applications.redis(), wait=False)
        lab.wait_for_tcp(SHARED4, 80)
        lab.wait_for_tcp(SHARED4, 6379)
        cls.sha256 = applications.sha256_of_file(lab, "web")

    def test_nginx_over_ipv4(self):
        with applications.Download(self.lab, f"http://{SHARED4}/file") as download:
            self.assertEqual(download.finish(), self.sha256)

    def test_nginx_over_ipv6(self):
        with applications.Download(self.lab, f"http://[{SHARED6}]/file") as download:
            self.assertEqual(download.finish(), self.sha256)

    def test_many_connections(self):
        urls = [f"http://{SHARED4}/none{i}" for i in range(self.lab.scaled(200))]
        done = self.lab.run(["curl", "-s", "--no-keepalive", "-H", "Connection: close", "-o", "/dev/null",
                             "-w", "%{http_code}\n", *urls[:1]])
        self.assertEqual(done.stdout.strip(), "404")
        words = [word for url in urls for word in ("-o", "/dev/null", url)]
        done = self.lab.run(["curl", "-s", "-Z", "--parallel-max", "20", "-H", "Connection: close", "-w", "%{http_code}\n", *words])
        self.assertEqual(done.stdout.split(), ["404"] * len(urls))

    def test_redis(self):
        done = self.lab.run(["redis-benchmark", "-h", SHARED4, "-n", self.lab.scaled(3000), "-c", "10", "-t", "set,get", "--csv"])
        rates = {line.split(",")[0].strip('"'): float(line.split(",")[1].strip('"')) for line in done.stdout.splitlines()[1:]}
        self.assertEqual(set(rates), {"SET", "GET"})
        self.assertTrue(all(rate > 0 for rate in rates.values()), rates)
        self.assertEqual(self.lab.run(["redis-cli", "-h", SHARED4, "set", "key", "x" * 100_000]).stdout.strip(), "OK")
        self.assertEqual(self.lab.run(["redis-cli", "-h", SHARED4, "get", "key"]).stdout.strip(), "x" * 100_000)

    def test_ports_name_their_owners(self):
        owners = {entry["port"]: entry["owner"]
                  for port in (80, 6379) for entry in self.lab.ctl("ports", "who", port) if entry["protocol"] == "tcp"}
        self.assertEqual(owners, {80: "web", 6379: "cache"})


class Throughput(case.SmokeTest):
    """iperf3, bounded: it shall work in every direction, not be fast."""

    @classmethod
    def setUpClass(cls):
        lab = cls.make_lab("iperf3")
        lab.guest("perf", ["iperf3", "-s"], wait=False)
        lab.wait_for_tcp(SHARED4, 5201)

    def iperf(self, *options, address=SHARED4):
        """Runs a client on the wire. Returns the `end` of its report."""
        def once():  # the server takes a moment to be ready for the next
            done = self.lab.run(["iperf3", "-c", address, "-J", *options], check=False)
            report = json.loads(done.stdout)
            if "error" in report:
                raise Failure(report["error"])
            return report["end"]
        return self.eventually(once, "a run of iperf3")

    def test_tcp_to_guest(self):
        self.assertGreater(self.iperf("-t", "1")["sum_received"]["bytes"], 1_000_000)

    def test_tcp_from_guest(self):
        self.assertGreater(self.iperf("-t", "1", "-R")["sum_received"]["bytes"], 1_000_000)

    def test_tcp_over_ipv6(self):
        self.assertGreater(self.iperf("-t", "1", address=SHARED6)["sum_received"]["bytes"], 1_000_000)
        self.assertGreater(self.iperf("-t", "1", "-R", address=SHARED6)["sum_received"]["bytes"], 1_000_000)

    def test_udp(self):
        for direction in ([], ["-R"]):
            end = self.iperf("-u", "-b", "50M", "-k", "4000", "-l", "1400", *direction)
            self.assertGreaterEqual(end["sum"]["packets"], 3000, direction)  # what the receiver saw of them
            self.assertLess(end["sum"]["lost_percent"], 25, direction)  # of a busy machine

    def test_large_frames_pass_the_port_whole(self):
        before = self.lab.counters("wire")
        self.iperf("-t", "1", "-R")
        after = self.lab.counters("wire")
        frames, octets = (after[f"wire_tx_{what}"] - before[f"wire_tx_{what}"] for what in ("frames", "bytes"))
        self.assertGreater(octets, 2 * 1514 * frames)


class Names(case.SmokeTest):
    """DNS: a guest that serves it, and a guest that asks."""

    ANSWER4, ANSWER6 = "192.0.2.7", "2001:db8::7"

    @classmethod
    def setUpClass(cls):
        lab = cls.make_lab("dnsmasq", "dig")
        cls.command = ["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--no-ping",
                       "--user=root", "--pid-file", f"--address=/lab.test/{cls.ANSWER4}", f"--address=/lab.test/{cls.ANSWER6}"]
        lab.guest("names", cls.command, wait=False)
        lab.wait_for_tcp(SHARED4, 53)
        lab.spawn("dnsmasq-on-the-wire", cls.command)
        lab.wait_for_tcp(WIRE4, 53)

    DIG = ("dig", "+short", "+tries=3", "+time=2", "lab.test")

    def test_asked_from_the_wire(self):
        for address in (SHARED4, SHARED6):
            for transport in ("+notcp", "+tcp"):
                with self.subTest(address=address, transport=transport):
                    done = self.lab.run([*self.DIG, "A", transport, f"@{address}"])
                    self.assertEqual(done.stdout.strip(), self.ANSWER4)
        self.assertEqual(self.lab.run([*self.DIG, "AAAA", f"@{SHARED6}"]).stdout.strip(), self.ANSWER6)

    def test_guest_asks(self):
        for name, address in (("asker4", WIRE4), ("asker6", WIRE6)):
            with self.subTest(address=address):
                guest = self.lab.guest(name, [*self.DIG, "A", f"@{address}"], wait=False)
                self.assertEqual(guest.wait(), 0, guest.tail())
                self.assertIn(f"\n{self.ANSWER4}\n", guest.log)


class Dedicated(case.SmokeTest):
    """Guests with addresses of their own, and what goes from guest to guest."""

    @classmethod
    def setUpClass(cls):
        lab = cls.make_lab("nginx", "curl", "ping")
        cls.sha256 = applications.random_file(lab.directory / "www" / "file", 5_000_000)
        web = applications.nginx(lab.directory)
        lab.guest("web", web)
        lab.guest("db", web, "--dedicated")
        state = lab.ctl("guest", "db")
        cls.ip4, cls.ip6 = state["ipv4"].split("/")[0], state["ipv6"].split("/")[0]
        lab.wait_for_tcp(SHARED4, 80)
        lab.wait_for_tcp(cls.ip4, 80)

    def fetch(self, address, namespace=None):
        host = f"[{address}]" if ":" in address else address
        with applications.Download(self.lab, f"http://{host}/file", namespace=namespace) as download:
            self.assertEqual(download.finish(), self.sha256)

    def ping(self, address, namespace=None):
        done = self.lab.run(["ping", "-n", "-c", "3", "-i", "0.05", "-W", "5", address], namespace=namespace)
        self.assertIn(" 0% packet loss", done.stdout)

    def test_addresses_of_the_pool(self):
        self.assertIn(self.ip4, DEDICATED4)
        self.assertIn(self.ip6, DEDICATED6)

    def test_ping_from_the_wire(self):
        for address in (SHARED4, SHARED6, self.ip4, self.ip6):
            with self.subTest(address=address):
                self.ping(address)

    def test_ping_to_the_wire(self):
        for name in ("web", "db"):
            for address in (WIRE4, WIRE6):
                with self.subTest(guest=name, address=address):
                    self.ping(address, self.lab.guests[name].namespace)

    def test_served_to_the_wire(self):
        for address in (self.ip4, self.ip6):
            with self.subTest(address=address):
                self.fetch(address)

    def test_guest_to_guest_stays_off_the_wire(self):
        web, db = (self.lab.guests[name].namespace for name in ("web", "db"))
        wire_before = self.lab.counters().get("wire_tx_bytes", 0)
        for namespace, addresses in ((web, (self.ip4, self.ip6)), (db, (SHARED4, SHARED6))):
            for address in addresses:
                with self.subTest(address=address):
                    self.ping(address, namespace)
                    self.fetch(address, namespace)
        self.assertLess(self.lab.counters().get("wire_tx_bytes", 0) - wire_before, 100_000)
        for name in ("web", "db"):
            self.assertGreater(self.lab.counters(name).get("switched_frames", 0), 100)


if __name__ == "__main__":
    sys.exit(case.main())

# SPDX-License-Identifier: BSD-2-Clause
"""kill -9 of the engine, and of everything, under traffic: connections live on, frames arrive as they were sent."""

import contextlib
import sys
import time

import applications
import case
import lab as laboratory
from applications import ECHO_PORT
from lab import DEDICATED4, SHARED4, SHARED6

FILE_BYTES = 60_000_000
ENGINE_KILLS = 5


class Deaths(case.SmokeTest):
    """Each test kills the server while its own kinds of traffic run."""

    places = ("local", "xen")

    @classmethod
    def setUpClass(cls):
        lab = cls.make_lab("nginx", "curl", "redis-server")
        cls.file_bytes = lab.scaled(FILE_BYTES)
        lab.guest("web", applications.nginx(lab.directory, file_bytes=cls.file_bytes), wait=False)
        lab.guest("cache", applications.redis(), wait=False)
        lab.guest("echo", applications.echo(lab), wait=False)
        lab.guest("db", applications.echo(lab), "--dedicated", wait=False)
        for address, port in ((SHARED4, 80), (SHARED4, 6379), (SHARED4, ECHO_PORT), (DEDICATED4[0], ECHO_PORT)):
            lab.wait_for_tcp(address, port)
        cls.sha256 = applications.sha256_of_file(lab, "web")

    def tearDown(self):
        guests = self.lab.ctl("status")["guests"]
        self.assertEqual((guests["connected"], guests["breaches"]), (4, 0))
        for guest in self.lab.guests.values():
            self.assertIsNone(guest.status)
            self.assertEqual(guest.log.count("link up"), 1, "its link never went down")

    def download_over(self, kill, times, bytes_per_s):
        """Downloads over IPv4 and IPv6 at the same time, slow enough for so many kills, spread over the file."""
        bytes_per_s *= self.lab.rate_scale
        with contextlib.ExitStack() as stack:
            downloads = [stack.enter_context(applications.Download(self.lab, f"http://{address}/file", bytes_per_s=bytes_per_s))
                         for address in (SHARED4, f"[{SHARED6}]")]
            for number in range(times):
                for download in downloads:
                    download.wait_for((number + 1) * self.file_bytes // (times + 2))
                self.assertTrue(all(download.received < self.file_bytes for download in downloads), "it is killed in the middle")
                kill()
            for download in downloads:
                self.assertEqual(download.finish(), self.sha256)

    def echoes(self, peers, data, timeout_s=laboratory.PATIENCE_S):
        """Until a datagram on each of these sockets has come back; lost ones are sent again."""
        for peer in peers:
            def came_back(peer=peer):
                peer.settimeout(0.2)
                peer.send(data)
                with contextlib.suppress(ConnectionRefusedError):
                    return data in (peer.recv(2000) for _ in range(3))
            laboratory.wait_until(came_back, "the echo of a datagram", timeout_s)

    def udp_peers(self, stack):
        peers = []
        for address in (SHARED4, SHARED6, DEDICATED4[0]):
            family = 10 if ":" in address else 2
            peer = stack.enter_context(self.lab.socket(family, 2))
            peer.connect((address, ECHO_PORT))
            peers.append(peer)
        return peers

    def connections_over(self, kill):
        """Idle and busy connections that were there before are there afterwards."""
        with contextlib.ExitStack() as stack:
            redis = stack.enter_context(self.lab.connect(SHARED4, 6379))
            streams = [stack.enter_context(self.lab.connect(address, ECHO_PORT)) for address in (SHARED4, SHARED6, DEDICATED4[0])]
            peers = self.udp_peers(stack)
            self.echoes(peers, b"before")
            kill()
            for stream in streams:
                stream.sendall(b"still there?")
                self.assertEqual(stream.recv(100), b"still there?")
            redis.sendall(b"PING\r\n")
            self.assertEqual(redis.recv(100), b"+PONG\r\n")
            self.echoes(peers, b"after")

    def test_downloads_over_engines(self):
        self.download_over(self.lab.kill_engine, ENGINE_KILLS, 12_000_000)

    def test_downloads_over_servers(self):
        self.download_over(self.lab.restart_server, 2, 20_000_000)

    def test_connections_over_an_engine(self):
        self.connections_over(self.lab.kill_engine)

    def test_connections_over_a_server(self):
        self.connections_over(self.lab.restart_server)

    def test_nobody_serves_for_a_while(self):
        """The server is away for two seconds; the guests wait."""
        def away():
            self.lab.kill_server()
            time.sleep(2)
            self.lab.start_server()
        self.connections_over(away)

    def test_connection_begun_without_a_server(self):
        self.lab.kill_server()
        with self.lab.socket(2, 1) as connection:
            connection.setblocking(False)
            self.assertNotEqual(connection.connect_ex((SHARED4, 6379)), 0)
            self.lab.start_server()
            connection.settimeout(laboratory.PATIENCE_S)
            def answered():
                connection.sendall(b"PING\r\n")
                return connection.recv(100)
            self.assertIn(b"+PONG", self.eventually(answered, "the SYN to be sent again"))

    def test_new_guest_after_a_death(self):
        self.lab.kill_engine()
        guest = self.lab.guest("other", applications.redis(6400))
        self.lab.wait_for_tcp(SHARED4, 6400)
        guest.stop()
        del self.lab.guests["other"]
        self.eventually(lambda: self.lab.ctl("status")["guests"]["connected"] == 4, "the guest to be gone")


if __name__ == "__main__":
    sys.exit(case.main())

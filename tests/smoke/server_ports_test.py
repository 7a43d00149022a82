#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""The server as the portmap's authority, as on a hypervisor without a portmap: guests ask it over the control ring, and what
it granted survives kill -9."""

import sys

import applications
import case
from lab import SHARED4
from operation_test import bind


class ServerPorts(case.SmokeTest):
    """The hypervisor's own portmap plays no part."""

    @classmethod
    def setUpClass(cls):
        lab = cls.make_lab("redis-server", "nginx", "curl", config={"portmap_authority": "server"})
        lab.guest("cache", applications.redis(), wait=False)
        lab.guest("web", applications.nginx(lab.directory), wait=False)
        for port in (6379, 80):
            lab.wait_for_tcp(SHARED4, port)

    def entries(self, port, protocol="tcp"):
        reply = self.lab.ctl("ports", "who", port, check=False)
        return [entry for entry in reply.get("result", []) if entry["protocol"] == protocol]

    def owner(self, port, protocol="tcp"):
        return next((entry["owner"] for entry in self.entries(port, protocol) if entry["state"] == "bound"), None)

    def test_status_says_who_decides(self):
        self.assertEqual(self.lab.ctl("status")["portmap_authority"], "server")
        self.assertEqual((self.owner(6379), self.owner(80)), ("cache", "web"))

    def test_anothers_port_is_in_use(self):
        guest = self.lab.guest("thief", bind("tcp", "0.0.0.0", 6379), wait=False)
        self.assertEqual(guest.wait(), 1)
        self.assertIn("EADDRINUSE", guest.log)
        self.assertEqual(self.owner(6379), "cache")

    def test_claims_survive_the_server(self):
        for kill in (self.lab.kill_engine, self.lab.restart_server):
            with self.subTest(kill=kill.__name__), self.lab.connect(SHARED4, 6379) as redis:
                before = {port: self.entries(port)[0]["owner"] for port in (6379, 80)}
                kill()
                redis.sendall(b"PING\r\n")
                self.assertEqual(redis.recv(100), b"+PONG\r\n")
                self.assertEqual({port: self.owner(port) for port in (6379, 80)}, before)
                guest = self.lab.guest(f"thief-{kill.__name__}".replace("_", "-"), bind("tcp", "0.0.0.0", 80), wait=False)
                self.assertEqual(guest.wait(), 1)
                self.assertIn("EADDRINUSE", guest.log)

    def test_a_guest_that_died_while_no_server_was_there(self):
        guest = self.lab.guest("mortal", bind("udp", "0.0.0.0", 5353), wait=False)
        self.eventually(lambda: self.owner(5353, "udp") == "mortal", "its claim")
        self.lab.kill_server()
        guest.stop()
        self.lab.start_server()
        self.eventually(lambda: [e["state"] for e in self.entries(5353, "udp")] == ["quarantined"], "the quarantine")
        other = self.lab.guest("other", bind("udp", "0.0.0.0", 5353), wait=False)
        self.assertEqual(other.wait(), 1)
        del self.lab.guests["mortal"]
        again = self.lab.guest("mortal", bind("udp", "0.0.0.0", 5353), wait=False)
        self.eventually(lambda: self.owner(5353, "udp") == "mortal", "its claim anew")
        again.stop()

    def test_a_bind_waits_for_the_next_server(self):
        self.lab.kill_server()
        guest = self.lab.guest("patient", bind("tcp", "0.0.0.0", 7000), wait=False)
        self.lab.start_server()
        self.eventually(lambda: self.owner(7000) == "patient", "its claim")
        self.assertIn("bound 7000", guest.log)
        guest.stop()

    def test_ports_are_released(self):
        guest = self.lab.guest("short", bind("tcp", "0.0.0.0", 7001), wait=False)
        self.eventually(lambda: self.owner(7001) == "short", "its claim")
        guest.stop()
        self.eventually(lambda: self.owner(7001) is None, "its end")


if __name__ == "__main__":
    sys.exit(case.main())

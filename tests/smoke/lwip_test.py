# SPDX-License-Identifier: BSD-2-Clause
"""Guests whose TCP/IP is lwIP in their own process, beside one another and across kill -9 of the server."""

import hashlib
import os
import re
import socket
import sys
import threading
import unittest

import applications
import case
import lab as laboratory
from applications import ECHO_PORT
from lab import SHARED4, SHARED6, WIRE4

CONNECTIONS = 100
BULK_BYTES = 20_000_000
PORT_IS_TAKEN = 3


class Lwip(case.SmokeTest):
    """Two echo servers, on the shared address and on one of its own."""

    @classmethod
    def setUpClass(cls):
        cls.program = case.build / "tests/smoke/lwip_guest"
        if not cls.program.exists():
            raise unittest.SkipTest("built without lwIP: install liblwip-dev and build again")
        lab = cls.make_lab()
        cls.started = 0
        cls.shared = cls.start("shared", "echo", ECHO_PORT)
        cls.dedicated = cls.start("dedicated", "echo", ECHO_PORT)
        lab.wait_for_tcp(SHARED4, ECHO_PORT)
        cls.own4 = laboratory.wait_until(lambda: next(
            (guest["ipv4"] for guest in lab.ctl("guests") if guest["name"] == cls.dedicated.name), None), "an address")
        lab.wait_for_tcp(cls.own4, ECHO_PORT)

    @classmethod
    def start(cls, mode, *command):
        """A guest as a process beside the server, with a name of its own."""
        cls.started += 1
        name = f"db-lwip{cls.started}" if mode == "dedicated" else f"lwip{cls.started}"
        words = ["env", f"LIBRETTOS_HYPERVISOR_SOCKET={cls.lab.directory}/hv.sock", cls.program, name, mode, *command]
        return cls.lab.spawn(name, [str(word) for word in words], namespace=cls.lab.server)

    def transfer(self, mode, address, port, size, connections):
        """A guest that sends through an echo server and compares."""
        return self.start(mode, "transfer", address, port, size, connections)

    def finish(self, transfer):
        """Waits for it. Returns Mbit/s each way."""
        self.assertEqual(transfer.wait(6 * laboratory.PATIENCE_S), 0, transfer.tail())
        return float(re.search(r"([\d.]+) Mbit/s", transfer.log)[1])

    def begun(self, transfer):
        """Its connections are there, and bytes on their way."""
        self.eventually(lambda: "begun" in transfer.log, "the transfer to begin")

    def through_echo(self, address, data):
        """Sends the data from the wire while it comes back. Returns the SHA-256 of what came."""
        digest = hashlib.sha256()
        with self.lab.connect(address, ECHO_PORT, timeout_s=3 * laboratory.PATIENCE_S) as stream:
            sender = threading.Thread(target=stream.sendall, args=(data,))
            sender.start()
            left = len(data)
            while left > 0 and (block := stream.recv(1 << 16)):
                digest.update(block)
                left -= len(block)
            sender.join()
        return digest.hexdigest()

    def wire_echo(self):
        """An echo server of the wire's kernel."""
        echo = self.lab.spawn("wire-echo", applications.echo(self.lab))
        self.addCleanup(echo.stop)
        self.lab.wait_for_tcp(WIRE4, ECHO_PORT)

    def test_echo(self):
        for address in (SHARED4, SHARED6, self.own4):
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            with self.lab.connect(address, ECHO_PORT) as stream, self.lab.socket(family, socket.SOCK_DGRAM) as peer:
                stream.sendall(b"stream")
                self.assertEqual(stream.recv(100), b"stream")
                peer.settimeout(laboratory.PATIENCE_S)
                peer.connect((address, ECHO_PORT))
                for size in (1, 1000, 1472, 4000, 14_000):  # the last ones in fragments, of which lwIP takes ten
                    peer.send(os.urandom(size - 1) + b".")
                    self.assertEqual(len(peer.recv(65536)), size)

    def test_hundred_connections(self):
        streams = [self.lab.connect(SHARED4, ECHO_PORT) for _ in range(CONNECTIONS)]
        try:
            for number, stream in enumerate(streams):
                stream.sendall(b"%d" % number * 500)
            for number, stream in enumerate(streams):
                expected, got = b"%d" % number * 500, b""
                while len(got) < len(expected) and (block := stream.recv(4096)):
                    got += block
                self.assertEqual(got, expected)
        finally:
            for stream in streams:
                stream.close()

    def test_bulk_from_the_wire(self):
        data = os.urandom(BULK_BYTES)
        for address in (SHARED4, self.own4):
            self.assertEqual(self.through_echo(address, data), hashlib.sha256(data).hexdigest())

    def test_bulk_to_the_wire(self):
        self.wire_echo()
        self.finish(self.transfer("shared", WIRE4, ECHO_PORT, BULK_BYTES // 8, 8))

    def test_guest_to_guest(self):
        rate = self.finish(self.transfer("shared", self.own4, ECHO_PORT, BULK_BYTES, 1))
        many = self.finish(self.transfer("shared", self.own4, ECHO_PORT, BULK_BYTES // CONNECTIONS, CONNECTIONS))
        print(f"lwIP to lwIP: {rate:.0f} Mbit/s each way on one connection, {many:.0f} on {CONNECTIONS}")

    def test_ports(self):
        second = self.start("shared", "echo", ECHO_PORT)
        self.assertEqual(second.wait(), PORT_IS_TAKEN, second.tail())
        third = self.start("shared", "echo", ECHO_PORT + 1)
        self.lab.wait_for_tcp(SHARED4, ECHO_PORT + 1)
        owners = {(block["protocol"], port): block["owner"]
                  for block in self.lab.ctl("ports") for port in range(block["first"], block["last"] + 1)}
        self.assertEqual(owners.get(("tcp", ECHO_PORT)), self.shared.name)
        self.assertEqual(owners.get(("udp", ECHO_PORT + 1)), third.name)
        third.stop()

    def over(self, kill, times):
        """Transfers between guests, and from the wire, in the middle of which the server is killed."""
        data = os.urandom(BULK_BYTES)
        self.wire_echo()
        with self.lab.connect(SHARED4, ECHO_PORT) as idle:
            transfers = [self.transfer("shared", self.own4, ECHO_PORT, BULK_BYTES, 4),
                         self.transfer("shared", WIRE4, ECHO_PORT, BULK_BYTES, 4)]
            for transfer in transfers:
                self.begun(transfer)
            results = []
            wire = threading.Thread(target=lambda: results.append(self.through_echo(SHARED4, data)))
            wire.start()
            self.assertTrue(all(transfer.status is None for transfer in transfers), "it is killed in the middle")
            for _ in range(times):
                kill()
            for transfer in transfers:
                self.finish(transfer)
            wire.join()
            self.assertEqual(results, [hashlib.sha256(data).hexdigest()])
            idle.sendall(b"still there?")
            self.assertEqual(idle.recv(100), b"still there?")

    def test_engine_dies(self):
        self.over(self.lab.kill_engine, 3)

    def test_server_dies(self):
        self.over(self.lab.restart_server, 1)


if __name__ == "__main__":
    sys.exit(case.main())

#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Keeps a TCP connection to an echo service full, both ways at once, and compares what comes back: echo_load.py ADDRESS PORT REPORT STOP

Every half second the file REPORT is written anew: bytes that came back, and the longest time without any, in seconds. Ends, once all
is back, when the file STOP is there; exit status 1 when something came back wrong, or nothing for STILL_S.
"""

import os
import random
import select
import socket
import sys
import time

IN_FLIGHT = 256 * 1024
PATTERN = random.Random(7).randbytes(1024 * 1024)
STILL_S = float(os.environ.get("STILL_S", "120"))


def pattern(position, size):
    begin = position % len(PATTERN)
    return PATTERN[begin : begin + size]


class Load:
    def __init__(self, address, port):
        self._socket = socket.create_connection((address, port), STILL_S)
        self._socket.setblocking(False)
        self.sent = self.back = 0
        self.longest_s, self._last = 0.0, time.monotonic()

    def send(self):
        data = pattern(self.sent, min(65536, IN_FLIGHT - (self.sent - self.back)))
        self.sent += self._socket.send(data)

    def receive(self):
        data = self._socket.recv(65536)
        if not data:
            sys.exit("the other end has closed the connection")
        while data:
            expected = pattern(self.back, len(data))
            if data[: len(expected)] != expected:
                sys.exit(f"wrong content after {self.back} bytes")
            self.back, data = self.back + len(expected), data[len(expected) :]
        now = time.monotonic()
        self.longest_s, self._last = max(self.longest_s, now - self._last), now

    def step(self, sending):
        room = sending and self.sent - self.back < IN_FLIGHT
        readable, writable, _ = select.select([self._socket], [self._socket] if room else [], [], 0.2)
        if writable:
            self.send()
        if readable:
            self.receive()
        if time.monotonic() - self._last > STILL_S:
            sys.exit(f"nothing came back for {STILL_S:.0f} s, after {self.back} bytes")

    def report(self, path):
        with open(path + ".part", "w") as file:
            file.write(f"{self.back} {self.longest_s:.2f}\n")
        os.replace(path + ".part", path)


def main():
    address, port, report, stop = sys.argv[1:]
    load, due = Load(address, int(port)), 0
    while (sending := not os.path.exists(stop)) or load.back < load.sent:
        load.step(sending)
        if time.monotonic() >= due:
            load.report(report)
            due = time.monotonic() + 0.5
    load.report(report)


if __name__ == "__main__":
    main()

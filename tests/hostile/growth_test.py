# SPDX-License-Identifier: BSD-2-Clause
"""Nothing grows: over 1,000 attached and gone guests, 50 engines killed under traffic, 10 whole servers killed.

    growth_test.py BUILD
"""

import json
import os
import pathlib
import random
import signal
import statistics
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "smoke"))
import lab as smoke
from watching import HONEST_SERVER, holdings, totals

CYCLES, WARM_UP = 1000, 100
ENGINE_KILLS, SERVER_KILLS = 50, 10
LIFE_S = 1.1  # between kills: engines that die younger are started later and later (daemon/holder/restart_delay.hpp)
RSS_KIB = 1024  # tolerated: malloc's, not ours
BUFFERS_PER_KILL = 4  # lost at most, on average
UDP_PORT = 5353
UDP_ECHO = """
import socket, threading
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind(("0.0.0.0", 5353))
def echo():
    while True:
        data, sender = udp.recvfrom(2048)
        udp.sendto(data, sender)
threading.Thread(target=echo, daemon=True).start()
"""
BULK = """
import socketserver
class Bulk(socketserver.BaseRequestHandler):
    def handle(self):
        block = bytes(range(256)) * 256
        try:
            while True:
                self.request.sendall(block)
        except OSError:
            pass
class BulkServer(socketserver.ThreadingTCPServer):
    daemon_threads = True
threading.Thread(target=BulkServer(("0.0.0.0", 81), Bulk).serve_forever, daemon=True).start()
"""


class Bulk:
    """One TCP connection that takes bytes of a known pattern, slowly enough to leave the machine usable."""

    PATTERN = bytes(range(256)) * 512

    def __init__(self, laboratory):
        self.connection = laboratory.connect(smoke.SHARED4, 81, timeout_s=30)
        self.bytes, self.fault, self._over = 0, None, threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        try:
            while not self._over.is_set():
                data = self.connection.recv(65536)
                at = self.bytes % 256
                if not data or data != self.PATTERN[at:at + len(data)]:
                    raise OSError("the connection ended" if not data else "wrong bytes")
                self.bytes += len(data)
                time.sleep(0.002)
        except OSError as error:
            self.fault = repr(error)

    def moves_on(self):
        before = self.bytes
        smoke.wait_until(lambda: self.fault or self.bytes > before + 200_000, "the download to go on", timeout_s=40)
        if self.fault:
            raise smoke.Failure(f"the download broke: {self.fault}")

    def close(self):
        self._over.set()
        self._thread.join()
        self.connection.close()


class Echo:
    """Datagrams to the guest and back, one a millisecond: tells when one came through again."""

    def __init__(self, laboratory):
        self.socket = laboratory.socket(smoke.socket.AF_INET, smoke.socket.SOCK_DGRAM)
        self.socket.connect((smoke.SHARED4, UDP_PORT))

    def forwarded_after(self, start):
        """Seconds from `start` to the first answer to a datagram that was sent after it."""
        number = random.getrandbits(32) << 32
        first = number
        self.socket.settimeout(0.001)
        while time.monotonic() < start + smoke.PATIENCE_S:
            try:
                self.socket.send(number.to_bytes(8, "big"))
                number += 1
                if int.from_bytes(self.socket.recv(16), "big") >= first:
                    return time.monotonic() - start
            except OSError:
                pass
        raise smoke.Failure(f"no datagram came through within {smoke.PATIENCE_S} s of the kill")


class Faults:
    def __init__(self):
        self.count = 0

    def judge(self, what, good, text):
        self.count += 0 if good else 1
        print(f"{'ok    ' if good else 'FAILED'} {what}: {text}", flush=True)


def state(laboratory, with_processes):
    """What is held; of the processes named, also descriptors, mappings and memory."""
    smoke.wait_until(lambda: totals(laboratory)["domains"] == len(laboratory.guests), "guests to be gone")
    smoke.wait_until(lambda: len(laboratory.ctl("guests")) == len(laboratory.guests), "guests to be let go")
    status = laboratory.ctl("status")
    numbers = {f"hypervisord {name}": value for name, value in totals(laboratory).items()}
    numbers.update({f"engine {name}": value for name, value in status["resources"].items()})
    pids = {"hypervisord": laboratory.hypervisord_process.pid, "holder": laboratory.server_process.pid,
            "engine": status["pid"]}
    for name, guest in laboratory.guests.items():
        pids[f"guest {name}"] = guest.pid
    for name in with_processes:
        numbers.update({f"{name} {what}": value for what, value in holdings(pids[name]).items()})
    return numbers


def growth(before, now):
    """What is more than before; memory by more than the tolerance."""
    return {name: (before[name], value) for name, value in now.items()
            if value > before[name] + (RSS_KIB if name.endswith("rss_kib") else 0)}


def settled_growth(laboratory, before, processes):
    """As growth(), given time: what is under way may end."""
    end = time.monotonic() + 10
    while True:
        grown = growth(before, state(laboratory, processes))
        if not grown or time.monotonic() > end:
            return grown
        time.sleep(0.1)


def churn(laboratory, cycles, name):
    done = subprocess.run([laboratory.build / "tests/hostile/hostile_churn", laboratory.directory / "hv.sock", name, str(cycles)],
                          capture_output=True, text=True, timeout=240, check=False)
    if done.returncode != 0:
        raise smoke.Failure(done.stderr.strip())
    return json.loads(done.stdout)


def attach_and_go(laboratory, faults):
    processes = ("hypervisord", "holder", "engine", "guest honest")
    churn(laboratory, WARM_UP, "warm")
    before = state(laboratory, processes)
    result = churn(laboratory, CYCLES, "churn")
    grown = settled_growth(laboratory, before, processes)
    faults.judge(f"{CYCLES} guests came and went", not grown,
                 f"grown: {grown}; attach {result['attach_ms_p50']:.2f} ms (median)")


def milliseconds(samples):
    return (f"p50 {1000 * statistics.median(samples):.1f} ms, "
            f"p99 {1000 * sorted(samples)[round(0.99 * (len(samples) - 1))]:.1f} ms")


def kill_engine(laboratory):
    """Returns the moment of the kill."""
    pid = laboratory.ctl("status")["pid"]
    time.sleep(LIFE_S)
    start = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    return start


def restart_server(laboratory):
    start = time.monotonic()
    laboratory.kill_server()
    laboratory.start_server(wait=False)
    return start


def kills(laboratory, faults, what, count, kill, processes):
    """`kill` under traffic, `count` times. One warm-up kill is not measured."""
    bulk, echo, pauses = Bulk(laboratory), Echo(laboratory), []
    try:
        before = lost_before = None
        for number in range(count + 1):
            bulk.moves_on()
            start = kill(laboratory)
            pause = echo.forwarded_after(start)
            laboratory.wait_for_server()
            smoke.wait_until(lambda: laboratory.guest_state("honest") == "connected", "the guest to be adopted")
            if number == 0:
                before = state(laboratory, processes)
                lost_before = idle_buffers(laboratory, bulk)
                bulk = Bulk(laboratory)
            else:
                pauses.append(pause)
        bulk.moves_on()
        lost = idle_buffers(laboratory, bulk) - lost_before
    finally:
        bulk.close()
    grown = settled_growth(laboratory, before, processes)
    faults.judge(f"{count} x {what} under traffic", not grown, f"grown: {grown}; kill to first frame {milliseconds(pauses)}")
    if what == "kill -9 of the engine":
        faults.judge("buffers", lost <= BUFFERS_PER_KILL * count, f"{lost} more in use after {count} kills")


def idle_buffers(laboratory, bulk):
    """Buffers in use with no traffic: the least of a second."""
    bulk.close()
    least = []
    end = time.monotonic() + 1
    while time.monotonic() < end or not least:
        least.append(laboratory.ctl("status")["mbufs"]["in_use"])
        time.sleep(0.05)
    return min(least)


def main():
    faults = Faults()
    try:
        # Without quarantine, which would still hold ports of guests that are gone.
        with smoke.Lab(sys.argv[1], hypervisord_options=("--quarantine", "0")) as laboratory:
            laboratory.guest("honest", [sys.executable, "-c", UDP_ECHO + BULK + HONEST_SERVER])
            laboratory.wait_for_tcp(smoke.SHARED4, 81)
            attach_and_go(laboratory, faults)
            kills(laboratory, faults, "kill -9 of the engine", ENGINE_KILLS, kill_engine,
                  ("hypervisord", "holder", "guest honest"))
            kills(laboratory, faults, "kill -9 of everything", SERVER_KILLS, restart_server,
                  ("hypervisord", "guest honest"))
            if faults.count:
                print(laboratory.report(30))
    except smoke.CannotRun as reason:
        print(f"skipped: {reason}")
        return 77
    return 1 if faults.count else 0


if __name__ == "__main__":
    sys.exit(main())

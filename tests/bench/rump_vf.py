#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""A NetBSD rump kernel in a Linux process between the rings and a VF of the software 82599; root.

    tests/bench/rump_vf.py FOLDER [--driver ixv|dpdk] [--build DIR] [--switches N]

FOLDER has `include` and `lib` of a rump kernel as for rump_kernels.py, and for ixv librumpdev, librumpdev_pci and librumpdev_pci_if_ixv
too (docs/rump.md says how they are made). Everything that the kernel's echo server sends back is compared; figures are printed, and what
goes wrong ends it with status 1. The model says nothing about a NIC's speed.
"""

import argparse
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path += [str(ROOT / "tests/smoke"), str(ROOT / "tests/bench")]

import lab as laboratory  # noqa: E402
import switching  # noqa: E402
from lab import DEDICATED4  # noqa: E402
from nic_lab import NicLab, vf_address  # noqa: E402
from programs import ProgramFailed  # noqa: E402
from rump_build import NoRumpKernel, build_peer  # noqa: E402
from rump_kernels import peer  # noqa: E402

GUEST = "db1"
ECHO_PORT = 7
BLOCK = 50_000
MEGABYTES = {"server": 10, "direct": 5}
PAUSE_S = 0.3  # between switches


class Wrong(Exception):
    """What went wrong."""


class Echo:
    """A connection to the rump kernel that compares what comes back, in a thread of its own until it is stopped."""

    def __init__(self, lab):
        self.bytes = 0
        self.longest_s = 0.0  # of a block's round trip
        self._failure = None
        self._stop = threading.Event()
        self._connection = lab.connect(DEDICATED4[0], ECHO_PORT)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        try:
            while not self._stop.is_set():
                self.longest_s = max(self.longest_s, echo(self._connection, BLOCK))
                self.bytes += BLOCK
        except (OSError, Wrong) as failure:
            self._failure = failure

    def stop(self):
        self._stop.set()
        self._thread.join()
        self._connection.close()
        if self._failure:
            raise Wrong(f"the connection: {self._failure}")


def echo(connection, count):
    """How long it took."""
    data = os.urandom(count)

    def send():
        for at in range(0, count, BLOCK):  # each has the socket's patience
            connection.sendall(data[at:at + BLOCK])

    began = time.monotonic()
    sender = threading.Thread(target=send)
    sender.start()
    received = bytearray()
    while len(received) < count:
        block = connection.recv(1 << 18)
        if not block:
            raise Wrong("the connection ended")
        received += block
    sender.join()
    if received != data:
        raise Wrong("other bytes came back than were sent")
    return time.monotonic() - began


def switch(lab, to):
    done = switching.Switch(lab, GUEST, to, "--timeout", "20000")
    if not done.reached:
        raise Wrong(f"no switch to {to}: {done.reason}")
    return done


def path_is(lab, wanted):
    laboratory.wait_until(lambda: lab.ctl("guest", GUEST)["path"] == wanted, f"path {wanted}")


def bulk(lab, way):
    with lab.connect(DEDICATED4[0], ECHO_PORT) as connection:
        megabytes = MEGABYTES[way]
        print(f"echo of {megabytes} MB, path {way}: {megabytes * 8 / echo(connection, megabytes * 1_000_000):.0f} Mbit/s each way", flush=True)


def round_trips(lab, way):
    with lab.connect(DEDICATED4[0], ECHO_PORT) as connection:
        times = sorted(echo(connection, 1) * 1e6 for _ in range(300))
    print(f"round trip of 1 byte, path {way}: median {statistics.median(times):.0f} us", flush=True)


def switches(lab, count):
    flow = Echo(lab)
    began = time.monotonic()
    for _ in range(count):
        for to in ("direct", "server"):
            switch(lab, to)
            time.sleep(PAUSE_S)
    took = time.monotonic() - began
    flow.stop()
    print(f"{count} switches each way under a connection: {flow.bytes / 1e6:.1f} MB came back as they were sent, {took:.1f} s, longest "
          f"round trip of {BLOCK // 1000} kB {flow.longest_s * 1000:.0f} ms", flush=True)


def engine_dies(lab):
    switch(lab, "direct")
    flow = Echo(lab)
    lab.kill_engine()
    path_is(lab, "direct")
    before = flow.bytes
    laboratory.wait_until(lambda: flow.bytes > before, "bytes by the VF")
    switch(lab, "server")
    flow.stop()
    print(f"the engine killed while direct, then back: {flow.bytes / 1e6:.1f} MB, right", flush=True)


def vf_is_reset(lab):
    switch(lab, "direct")
    flow = Echo(lab)
    lab.nic("reset 0")
    path_is(lab, "server")
    before = flow.bytes
    laboratory.wait_until(lambda: flow.bytes > before, "bytes by the rings")
    flow.stop()
    laboratory.wait_until(lambda: lab.ctl("guest", GUEST)["switch"]["step"] == "rings", "the end of the switch")
    switch(lab, "direct")
    bulk(lab, "direct")
    switch(lab, "server")
    print(f"the VF reset by the NIC while direct: back at the rings by itself, {flow.bytes / 1e6:.1f} MB, right; switched again after it",
          flush=True)


def pci_libraries(build):
    folder = build / "guest-frontend/rump/pci"
    return [f"-L{folder}", f"-Wl,-rpath,{folder}", "-lrettos-rump-pci", "-lrumpdev_pci_if_ixv", "-lrumpdev_pci", "-lrumpdev", "-lrumpvfs"]


def kernel(lab, program):
    """The kernel's process, ready to answer."""
    nic = dict(word.split("=", 1) for word in lab.on_nic()[1:])
    nic["LD_PRELOAD"] += f":{lab.build / 'guest-frontend/rump/librettos-rump-virt.so'}"
    return peer(lab, program, ["librettos"], **nic, LIBRETTOS_VF=vf_address(0), LIBRETTOS_GUEST_MODE="dedicated", LIBRETTOS_GUEST_NAME=GUEST,
                LIBRETTOS_HYPERVISOR_SOCKET=lab.directory / "hv.sock")


def run(lab, switches_each_way):
    lab.wait_for_tcp(DEDICATED4[0], ECHO_PORT)
    before = lab.events()
    for way in ("server", "direct"):
        if way == "direct":
            print(f"first switch: {switch(lab, way).took_us / 1000:.0f} ms", flush=True)
        bulk(lab, way)
        round_trips(lab, way)
    switch(lab, "server")
    switches(lab, switches_each_way)
    engine_dies(lab)
    vf_is_reset(lab)
    faults = {name: lab.events()[name] - before[name] for name in ("dma_faults", "bad_requests", "spoofed")}
    print(f"counted by the NIC: {faults}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--driver", choices=("ixv", "dpdk"), default="ixv")
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build/release")
    parser.add_argument("--switches", type=int, default=10)
    options = parser.parse_args()
    try:
        laboratory.Lab.check_machine(options.build)
        with tempfile.TemporaryDirectory(prefix="librettos-rump-") as directory, NicLab(options.build, vfs=1) as lab:
            program = pathlib.Path(directory) / "rump_peer"
            build_peer(options.folder.resolve(), program, pci_libraries(options.build) if options.driver == "ixv" else ())
            with kernel(lab, program) as process:
                try:
                    run(lab, options.switches)
                finally:
                    print(process.said(), file=sys.stderr)
    except (laboratory.CannotRun, NoRumpKernel) as reason:
        print(f"rump_vf: {reason}", file=sys.stderr)
        return 77
    except (Wrong, ProgramFailed, laboratory.Failure, subprocess.CalledProcessError, OSError) as failure:
        print(f"rump_vf: {failure}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

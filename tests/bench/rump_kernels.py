#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Two NetBSD rump kernels in Linux processes, on our ring and on the interfaces that they come with; root.

    tests/bench/rump_kernels.py FOLDER [--build DIR] [--rounds N] [--only ring,tap,shmif] [--json FILE]

FOLDER has `include` and `lib` of a rump kernel with shared librumpnet_config, _shmif, _virtif, _netinet, _net (docs/rump.md says which
tree was used); CC is the compiler for the peer, rump_peer.c. Measured in turn: round trips of one byte over TCP, bulk one way, and bulk
through an echo. Nothing fails for being slow.
"""

import argparse
import contextlib
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path += [str(ROOT / "tests/smoke"), str(ROOT / "tests/bench")]

import lab as laboratory  # noqa: E402
from programs import Program, ProgramFailed  # noqa: E402
from rump_build import NoRumpKernel, build_peer  # noqa: E402

PEERS = ("10.7.0.1", "10.7.0.2")
MEASURES = (("latency", 5000), ("send", 60), ("echo", 30))
TIMEOUT_S = 120


def peer(lab, program, words, **environment):
    """A rump kernel in the server's namespace."""
    settings = [f"{name}={value}" for name, value in environment.items()]
    return Program(["nsenter", f"--net=/run/netns/{lab.server}", "env", *settings, program, *words])


class Ring:
    """Two guests with an address each."""

    def __init__(self, lab, program, stack):
        environment = {"LD_PRELOAD": lab.build / "guest-frontend/rump/librettos-rump-virt.so", "LIBRETTOS_GUEST_MODE": "dedicated",
                       "LIBRETTOS_HYPERVISOR_SOCKET": lab.directory / "hv.sock"}
        names = ("db-rump1", "db-rump2")
        self.kernels = [stack.enter_context(peer(lab, program, ["librettos"], **environment, LIBRETTOS_GUEST_NAME=name)) for name in names]
        self.target = next(guest["ipv4"].split("/")[0] for guest in lab.ctl("guests") if guest["name"] == names[1])


class Tap:
    """NetBSD's TAP interface, both on a Linux bridge."""

    def __init__(self, lab, program, stack):
        lab.run(["ip", "link", "add", "rumpbr", "type", "bridge"], namespace=lab.server)
        lab.run(["sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1"], namespace=lab.server)
        for name in ("tun0", "tun1"):
            lab.run(["ip", "tuntap", "add", name, "mode", "tap"], namespace=lab.server)
            lab.run(["ip", "link", "set", name, "master", "rumpbr", "up"], namespace=lab.server)
        lab.run(["ip", "link", "set", "rumpbr", "up"], namespace=lab.server)
        self.kernels = [stack.enter_context(peer(lab, program, [f"virt{i}", PEERS[i]])) for i in range(2)]
        self.target = PEERS[1]


class Shmif:
    """NetBSD's shared memory."""

    def __init__(self, lab, program, stack):
        self.kernels = [stack.enter_context(peer(lab, program, [lab.directory / "bus", PEERS[i]])) for i in range(2)]
        self.target = PEERS[1]


INTERFACES = {"ring": Ring, "tap": Tap, "shmif": Shmif}


def measure(lab, program, names, rounds):
    """{interface: {figure: [one of each round]}}"""
    found = {name: {} for name in names}
    with contextlib.ExitStack() as stack:
        pairs = {name: INTERFACES[name](lab, program, stack) for name in names}
        for _ in range(rounds):
            for command, amount in MEASURES:
                for name, pair in pairs.items():
                    pair.kernels[0].send(f"{command} {pair.target} {amount}")
                    for figure, value in pair.kernels[0].answer(TIMEOUT_S).items():
                        found[name].setdefault(f"{command} {figure}", []).append(value)
    return found


def table(found):
    lines = [f"{'':<18}" + "".join(f"{name:>28}" for name in found)]
    for figure in next(iter(found.values())):
        cells = [f"{statistics.median(values[figure]):.0f} ({min(values[figure]):.0f} .. {max(values[figure]):.0f})" for values in found.values()]
        lines.append(f"{figure:<18}" + "".join(f"{cell:>28}" for cell in cells))
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build/release")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default=",".join(INTERFACES), help="interfaces, separated by commas")
    parser.add_argument("--json", type=pathlib.Path)
    options = parser.parse_args()
    try:
        laboratory.Lab.check_machine(options.build)
        with tempfile.TemporaryDirectory(prefix="librettos-rump-") as directory, laboratory.Lab(options.build) as lab:
            program = pathlib.Path(directory) / "rump_peer"
            build_peer(options.folder.resolve(), program)
            found = measure(lab, program, options.only.split(","), options.rounds)
    except (laboratory.CannotRun, NoRumpKernel) as reason:
        print(f"rump_kernels: {reason}", file=sys.stderr)
        return 77
    except (ProgramFailed, subprocess.CalledProcessError) as failure:
        print(f"rump_kernels: {failure}", file=sys.stderr)
        return 1
    print(table(found))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

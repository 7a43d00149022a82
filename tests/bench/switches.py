#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Many switches of a loaded guest between the server and a VF, measured; root.

    tests/bench/switches.py [--on bridge|model] [--build DIR] [--switches N] [--per-second N] [--flows N] [--realtime] [--awake]
                            [--stalls] [--json FILE]

On a bridge VFs are veths at a Linux bridge, no NIC's, and the guest is librettos-guest. On the model the server has the PF of a
software 82599, and the guest's process a VF, by DPDK, under lwIP; there frames in a second are measured, too, by the VF and by the rings.
With --realtime whoever frames pass through has a real-time priority there, and the server's other threads a lower one: what else the
machine does makes no pauses. With --awake processors that have nothing to do look on instead of being halted, as hosts of data planes
are set up.

A pause is the longest time without an arrival though a datagram was under way, of those that touch a window. The windows are the whole
command, and the part of it in which the path changes; beside each are as long ones without a switch, under the same load. With --stalls
bench_stalls records when a processor stood still, and the table says how many pauses of more than a millisecond were that.
"""

import argparse
import contextlib
import json
import os
import pathlib
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tests/smoke"))

import applications  # noqa: E402
import lab as laboratory  # noqa: E402
import switching  # noqa: E402
from bridged_lab import BridgedLab  # noqa: E402
from lwip_load import LwipLoad  # noqa: E402
from nic_lab import NicLab  # noqa: E402
from quantile import quantile  # noqa: E402

GUEST, FILE_BYTES, SETTLE_S = "db", 2_000_000_000, 0.1
FULL_S, FULL_PER_SECOND = 4, 300_000
LONG_US, WINDOWS_EACH = 1_000, 10  # a long pause; windows without a switch for each with one
MOVES_FRAMES, STEERS = 10, 5  # real-time priorities: who steers takes a processor for milliseconds, which frames do not wait for
TCP_COUNTERS = ("TCPTimeouts", "TCPLossProbes", "TCPSpuriousRTOs", "RetransSegs")


def tcp_counters(lab, namespace):
    """Those of /proc/net/netstat and /proc/net/snmp that tell of frames that did not arrive in time."""
    lines = lab.run(["cat", "/proc/net/netstat", "/proc/net/snmp"], namespace=namespace).stdout.splitlines()
    found = {}
    for names, values in zip(lines[::2], lines[1::2]):
        found.update(zip(names.split()[1:], values.split()[1:]))
    return {name: int(found.get(name, 0)) for name in TCP_COUNTERS}


def backlog_drops():
    """Frames that the kernel dropped between veths, for want of time to take them; of the whole machine."""
    return sum(int(line.split()[1], 16) for line in pathlib.Path("/proc/net/softnet_stat").read_text().splitlines())


@contextlib.contextmanager
def awake(options):
    """No processor sleeps meanwhile, if that was asked for: the kernel's promise of a wake-up within 0 us, which tuned's profile
    network-latency and idle=poll are, too."""
    if not options.awake:
        yield
        return
    with open("/dev/cpu_dma_latency", "wb", buffering=0) as latency:
        latency.write(bytes(4))
        yield


def can_stay_awake():
    """The kernel has somebody who keeps that promise."""
    driver = pathlib.Path("/sys/devices/system/cpu/cpuidle/current_driver")
    return driver.exists() and driver.read_text().strip() != "none"


class Stalls:
    """When a processor stood still meanwhile, as bench_stalls tells it: [(from, to), ...]; None: it was not asked."""

    def __init__(self, options):
        self._command, self.stalls = [options.build / "tests/bench/bench_stalls"] if options.stalls else None, None

    def __enter__(self):
        if self._command:
            self._program = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(self, *_):
        if self._command:
            self._program.terminate()
            self.stalls = [tuple(map(int, line.split()[1:])) for line in self._program.communicate()[0].splitlines()]
            if self._program.returncode != 0:
                raise laboratory.Failure("bench_stalls failed")


NIC_DROPS = {  # the model's events
    "before_wire": "in the socket that stands for the wire, to the NIC", "behind_wire": "in the socket that stands for the wire, from the NIC",
    "missed": "by the NIC: its packet buffer was full", "queue_full": "by the NIC: no descriptor of the queue was free",
    "queue_disabled": "by the NIC: the queue or its VF was not up", "spoofed": "by the NIC: not from an address of the VF's"}


def drops(lab):
    """{where: frames} that were dropped there since the lab began; what the server says nothing about is zero."""
    found = {f"by the server, {place}: {name}": value for place in ("wire", GUEST) for name, value in lab.counters(place).items()
             if name.startswith("drop_")}
    if isinstance(lab, NicLab):
        events = lab.events()
        found.update({text: events[name] for name, text in NIC_DROPS.items()})
    return found


def measure(lab, options):
    """The figures, as they go into the JSON file."""
    www = lab.directory / "www"
    www.mkdir()
    with open(www / "file", "wb") as file:
        file.truncate(FILE_BYTES)
    lab.guest(GUEST, applications.nginx(lab.directory), "--dedicated")
    address = lab.ctl("guest", GUEST)["ipv4"].split("/")[0]
    lab.wait_for_tcp(address, 80)
    places = {"guest": lab.guests[GUEST].namespace, "wire": lab.wire}
    with contextlib.ExitStack() as flows:
        downloads = [flows.enter_context(applications.Download(lab, f"http://{address}/file", bytes_per_s=options.flow_bytes))
                     for _ in range(options.flows)]
        for download in downloads:
            download.wait_for(100_000)
        with switching.Load(lab, GUEST, options.per_second) as load, Stalls(options) as recorder:
            time.sleep(0.5)
            tcp = {place: tcp_counters(lab, namespace) for place, namespace in places.items()}
            began, backlog = time.monotonic(), backlog_drops()
            switches = switching.bounce(lab, GUEST, options.switches, SETTLE_S)
            seconds, backlog = time.monotonic() - began, backlog_drops() - backlog
            tcp = {place: {name: value - tcp[place][name] for name, value in tcp_counters(lab, namespace).items()}
                   for place, namespace in places.items()}
            idle = switching.idle_spans(options.switches, SETTLE_S)
        moved = sum(download.received for download in downloads)
    return {**figures(load.streams, switches, idle, recorder.stalls, tcp, seconds, moved), "vfs": "veths at a Linux bridge",
            "backlog_drops": backlog}


def schedule(pids, policy, priority, named=""):
    """Those of their threads whose name begins so, and what these start."""
    for pid in pids:
        for thread in pathlib.Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(ProcessLookupError, FileNotFoundError):
                if (thread / "comm").read_text().startswith(named):
                    os.sched_setscheduler(int(thread.name), policy, os.sched_param(priority))


def measure_on_model(lab, options):
    """The same with a VF that the guest's process drives."""
    load = LwipLoad(lab, GUEST, options.per_second)
    status = lab.ctl("status")
    server = [status["pid"], status["holder_pid"]]
    if options.realtime:
        schedule([lab.nic_pid, *load.pids()], os.SCHED_RR, MOVES_FRAMES)
        schedule(server, os.SCHED_RR, STEERS)
        schedule(server, os.SCHED_RR, MOVES_FRAMES, "data-")
    try:
        load.begin_flows(options.flows, options.flow_bytes)
        time.sleep(0.5)
        dropped = drops(lab)
        before, began, backlog = tcp_counters(lab, lab.wire), time.monotonic(), backlog_drops()
        with Stalls(options) as recorder:
            switches = switching.bounce(lab, GUEST, options.switches, SETTLE_S)
            seconds = time.monotonic() - began
            tcp = {name: value - before[name] for name, value in tcp_counters(lab, lab.wire).items()}
            like_s = quantile([switch.took_us for switch in switches], 0.5) / 1e6
            idle = switching.idle_spans(min(options.switches, 50), SETTLE_S, like_s)
        of_guest = drops(lab)  # whose counters end with it
        streams = load.stop()
        backlog = backlog_drops() - backlog
        dropped = {where: count - dropped.get(where, 0) for where, count in {**of_guest, **drops(lab)}.items()}
    finally:
        load.kill()
    counters = {"wire": tcp, "guest": {"timeouts": load.tcp_timeouts}}
    schedule([lab.nic_pid, *server], os.SCHED_OTHER, 0)  # at full load a real-time sender would leave nobody else a processor
    return {**figures(streams, switches, idle, recorder.stalls, counters, seconds, load.flow_bytes),
            "vfs": "of the software 82599, in the guest's process", "backlog_drops": backlog, "dropped": dropped, "full": full_load(lab)}


def full_load(lab):
    """Datagrams in a second that arrive, by the rings and by the VF, when more are offered than arrive."""
    rates = {}
    for way in ("server", "direct"):
        for ways in ("in", "out"):
            load = LwipLoad(lab, GUEST, FULL_PER_SECOND if ways == "out" else 1, FULL_PER_SECOND if ways == "in" else 1)
            try:
                if way == "direct" and not switching.Switch(lab, GUEST, way, "--timeout", "10000").reached:
                    raise laboratory.Failure("the guest did not get to its VF")
                began_ns = time.time_ns()
                time.sleep(FULL_S)
                ended_ns = time.time_ns()
                stream = load.stop()[0 if ways == "in" else 1]
                rates[f"{ways} by {way}"] = round(stream.per_second(began_ns, ended_ns))
            finally:
                load.kill()
    return rates


def spread(values):
    return {name: round(quantile(values, part), 1) for name, part in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("max", 1.0))}


def pauses(stream, windows, stalls):
    """The longest of each window: how they spread in microseconds, and how many were long."""
    times = [stream.pause_ns(*window) for window in windows]
    long = [time for time in times if time[1] - time[0] > LONG_US * 1000]
    found = {"windows": len(times), **spread([(ended - began) / 1000 for began, ended in times]), "long": len(long)}
    if stalls is not None:
        found["stood_still"] = sum(switching.stood_still(time, stalls) for time in long)
    return found


def all_pauses(streams, switches, idle, stalls):
    """[{to, while, stream, with: ..., without: ...}, ...]: of windows with a switch, and of ones without."""
    rows = []
    for to in ("direct", "server"):
        there = [switch for switch in switches if switch.to == to]
        changes = [switch.change_ns() for switch in there]
        others = switching.windows_like(changes, switching.spans_between(switches), WINDOWS_EACH)
        for part, windows, without in (("the path changes", changes, others), ("the command runs", [switch.span_ns() for switch in there], idle)):
            rows += [{"to": to, "while": part, "stream": stream.name,
                      "with": pauses(stream, windows, stalls), "without": pauses(stream, without, stalls)} for stream in streams]
    return rows


def figures(all_streams, switches, idle, stalls, tcp, seconds, moved):
    streams = {stream.name: {key: getattr(stream, key) for key in ("sent", "lost", "doubled", "reordered", "overrun")}
               for stream in all_streams}
    steps = {}
    for switch in switches:
        for step, took_us in switch.steps.items():
            steps.setdefault((switch.to, step), []).append(took_us)
    return {
        "switches": len(switches), "seconds": round(seconds, 1), "tcp_bytes": moved, "tcp": tcp, "streams": streams,
        "datagrams_per_s": round(sum(stream.per_second(switches[0].began_ns, switches[-1].ended_ns) for stream in all_streams)),
        "pauses_us": all_pauses(all_streams, switches, idle, stalls),
        "took_us": {to: spread([switch.took_us for switch in switches if switch.to == to]) for to in ("direct", "server")},
        "steps_us": [{"to": to, "step": step, **spread(values)} for (to, step), values in steps.items()],
    }


def table(result):
    lines = [f"{result['switches']} switches in {result['seconds']} s, {result['datagrams_per_s']:,} datagrams/s both ways together, "
             f"{result['tcp_bytes'] / 1e6:,.0f} MB by TCP; VFs: {result['vfs']}", ""]
    for name, stream in result["streams"].items():
        lines.append(f"  {name:<14}" + "".join(f"  {key} {value:,}" for key, value in stream.items()))
    for place, counters in result["tcp"].items():
        lines.append(f"  TCP, {place:<9}" + "".join(f"  {name} {value}" for name, value in counters.items()))
    lines.append(f"  frames dropped by the kernel between veths, on the whole machine: {result['backlog_drops']}")
    lines += [f"  frames dropped {where}: {count:,}" for where, count in result.get("dropped", {}).items() if count]
    lines += [f"  at full load, datagrams/s {name}: {rate:,}" for name, rate in result.get("full", {}).items()]
    lines += ["", f"  {'microseconds':<60}{'p50':>9}{'p90':>9}{'p99':>9}{'max':>9}  over 1 ms"]
    for row in result["pauses_us"]:
        lines.append(pause_line(f"pause while {row['while']}, to {row['to']}: {row['stream']}", row["with"]))
        lines.append(pause_line("  as long without a switch", row["without"]))
    rows = [(f"command to {'COMMIT' if to == 'direct' else 'the end'}, to {to}", result["took_us"][to]) for to in ("direct", "server")]
    rows += [(f"  {row['to']}: {row['step']}", row) for row in result["steps_us"]]
    return "\n".join(lines + [quantile_line(words, values) for words, values in rows])


def quantile_line(words, values):
    return f"  {words:<60}" + "".join(f"{values[key]:>9,.0f}" for key in ("p50", "p90", "p99", "max"))


def pause_line(words, values):
    still = f", {values['stood_still']} stood still" if "stood_still" in values else ""
    return quantile_line(words, values) + f"  {values['long'] / values['windows']:.0%} of {values['windows']}{still}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build/release")
    parser.add_argument("--on", choices=("bridge", "model"), default="bridge", help="whose VFs (bridge)")
    parser.add_argument("--switches", type=int, default=100, help="each way (100)")
    parser.add_argument("--per-second", type=int, default=25_000, help="datagrams, each way (25000)")
    parser.add_argument("--flows", type=int, default=4, help="TCP flows (4)")
    parser.add_argument("--flow-bytes", type=int, default=2_000_000, help="of each in a second (2000000)")
    parser.add_argument("--realtime", action="store_true", help="on the model: frames do not wait for other programs")
    parser.add_argument("--awake", action="store_true", help="processors are not halted when they have nothing to do")
    parser.add_argument("--stalls", action="store_true", help="how many long pauses were a processor that stood still")
    parser.add_argument("--json", type=pathlib.Path)
    options = parser.parse_args()
    if options.realtime and options.on != "model":
        parser.error("--realtime is for --on model")
    if options.awake and not can_stay_awake():
        parser.error("--awake: this kernel has no driver of cpuidle; boot it with idle=poll instead")
    try:
        laboratory.Lab.check_machine(options.build, *(("nginx", "curl") if options.on == "bridge" else ()))
    except laboratory.CannotRun as reason:
        print(f"switches: {reason}", file=sys.stderr)
        return 77
    if options.on == "bridge":
        with BridgedLab(options.build, vfs=["vf0"]) as lab, awake(options):
            result = measure(lab, options)
    else:
        with NicLab(options.build, vfs=1, rate_mbps=0) as lab, awake(options):
            result = measure_on_model(lab, options)
    print(table(result))
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

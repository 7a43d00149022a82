#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Many switches of a loaded guest between the server and a VF, measured; root.

    tests/bench/switches.py [--on bridge|model] [--build DIR] [--switches N] [--per-second N] [--flows N] [--realtime] [--json FILE]

On a bridge VFs are veths at a Linux bridge, no NIC's, and the guest is librettos-guest. On the model the server has the PF of a
software 82599, and the guest's process a VF, by DPDK, under lwIP; there frames in a second are measured, too, by the VF and by the rings.
With --realtime whoever frames pass through has a real-time priority there: what else the machine does makes no pauses.
"""

import argparse
import contextlib
import json
import os
import pathlib
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

GUEST, FILE_BYTES, SETTLE_S = "db", 2_000_000_000, 0.05
FULL_S, FULL_PER_SECOND = 4, 300_000
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
        with switching.Load(lab, GUEST, options.per_second) as load:
            time.sleep(0.5)
            tcp = {place: tcp_counters(lab, namespace) for place, namespace in places.items()}
            began, backlog = time.monotonic(), backlog_drops()
            switches = switching.bounce(lab, GUEST, options.switches, SETTLE_S)
            seconds, backlog = time.monotonic() - began, backlog_drops() - backlog
            tcp = {place: {name: value - tcp[place][name] for name, value in tcp_counters(lab, namespace).items()}
                   for place, namespace in places.items()}
            idle = switching.idle_spans(options.switches, SETTLE_S)
        moved = sum(download.received for download in downloads)
    return {**figures(load.streams, switches, idle, tcp, seconds, moved), "vfs": "veths at a Linux bridge", "backlog_drops": backlog}


def make_realtime(pids, priority=10):
    """All of their threads, and those that they start."""
    for pid in pids:
        for thread in pathlib.Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(ProcessLookupError):
                os.sched_setscheduler(int(thread.name), os.SCHED_RR, os.sched_param(priority))


def measure_on_model(lab, options):
    """The same with a VF that the guest's process drives."""
    load = LwipLoad(lab, GUEST, options.per_second)
    if options.realtime:
        server = lab.ctl("status")
        make_realtime([server["pid"], server["holder_pid"], lab.nic_pid, *load.pids()])
    try:
        load.begin_flows(options.flows, options.flow_bytes)
        time.sleep(0.5)
        dropped = drops(lab)
        before, began, backlog = tcp_counters(lab, lab.wire), time.monotonic(), backlog_drops()
        switches = switching.bounce(lab, GUEST, options.switches, SETTLE_S)
        seconds = time.monotonic() - began
        tcp = {name: value - before[name] for name, value in tcp_counters(lab, lab.wire).items()}
        like_s = switching.quantile([switch.took_us for switch in switches], 0.5) / 1e6
        idle = switching.idle_spans(min(options.switches, 50), SETTLE_S, like_s)
        of_guest = drops(lab)  # whose counters end with it
        streams = load.stop()
        backlog = backlog_drops() - backlog
        dropped = {where: count - dropped.get(where, 0) for where, count in {**of_guest, **drops(lab)}.items()}
    finally:
        load.kill()
    counters = {"wire": tcp, "guest": {"timeouts": load.tcp_timeouts}}
    return {**figures(streams, switches, idle, counters, seconds, load.flow_bytes), "vfs": "of the software 82599, in the guest's process",
            "backlog_drops": backlog, "dropped": dropped, "full": full_load(lab)}


def full_load(lab):
    """Datagrams in a second that arrive, by the rings and by the VF, when more are offered than arrive."""
    rates = {}
    for way in ("server", "direct"):
        for ways in ("in", "out"):
            load = LwipLoad(lab, GUEST, FULL_PER_SECOND if ways == "out" else 1, FULL_PER_SECOND if ways == "in" else 1)
            try:
                if way == "direct" and not switching.Switch(lab, GUEST, way).reached:
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
    return {name: round(switching.quantile(values, part), 1) for name, part in (("p50", 0.5), ("p99", 0.99), ("max", 1.0))}


def pauses(all_streams, spans):
    """Of all of them together, and of each."""
    of_each = {stream.name: [stream.pause_us(*span) for span in spans] for stream in all_streams}
    return {**spread(sum(of_each.values(), [])), "of": {name: spread(values) for name, values in of_each.items()}}


def figures(all_streams, switches, idle, tcp, seconds, moved):
    streams = {stream.name: {key: getattr(stream, key) for key in ("sent", "lost", "doubled", "reordered", "overrun")}
               for stream in all_streams}
    steps = {}
    for switch in switches:
        for step, took_us in switch.steps.items():
            steps.setdefault((switch.to, step), []).append(took_us)
    return {
        "switches": len(switches), "seconds": round(seconds, 1), "tcp_bytes": moved, "tcp": tcp, "streams": streams,
        "datagrams_per_s": round(sum(stream.per_second(switches[0].began_ns, switches[-1].ended_ns) for stream in all_streams)),
        "pause_us": {to: pauses(all_streams, [switch.span_ns() for switch in switches if switch.to == to]) for to in ("direct", "server")},
        "pause_without_us": pauses(all_streams, idle),
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
    lines += ["", f"  {'microseconds':<34}{'p50':>10}{'p99':>10}{'max':>10}"]
    rows = []
    for words, pause in (*((f"switch to {to}", result["pause_us"][to]) for to in ("direct", "server")), ("no switch", result["pause_without_us"])):
        rows.append((f"longest pause, {words}", pause))
        rows += [(f"  {name}", values) for name, values in pause["of"].items()]
    rows += [(f"command to {'COMMIT' if to == 'direct' else 'the end'}, to {to}", result["took_us"][to]) for to in ("direct", "server")]
    rows += [(f"  {row['to']}: {row['step']}", row) for row in result["steps_us"]]
    return "\n".join(lines + [f"  {words:<34}" + "".join(f"{values[key]:>10,.0f}" for key in ("p50", "p99", "max"))
                              for words, values in rows])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build/release")
    parser.add_argument("--on", choices=("bridge", "model"), default="bridge", help="whose VFs (bridge)")
    parser.add_argument("--switches", type=int, default=100, help="each way (100)")
    parser.add_argument("--per-second", type=int, default=25_000, help="datagrams, each way (25000)")
    parser.add_argument("--flows", type=int, default=4, help="TCP flows (4)")
    parser.add_argument("--flow-bytes", type=int, default=2_000_000, help="of each in a second (2000000)")
    parser.add_argument("--realtime", action="store_true", help="on the model: frames do not wait for other programs")
    parser.add_argument("--json", type=pathlib.Path)
    options = parser.parse_args()
    if options.realtime and options.on != "model":
        parser.error("--realtime is for --on model")
    try:
        laboratory.Lab.check_machine(options.build, *(("nginx", "curl") if options.on == "bridge" else ()))
    except laboratory.CannotRun as reason:
        print(f"switches: {reason}", file=sys.stderr)
        return 77
    if options.on == "bridge":
        with BridgedLab(options.build, vfs=["vf0"], port_arguments=",framecnt=8192") as lab:
            result = measure(lab, options)
    else:
        with NicLab(options.build, vfs=1, rate_mbps=0) as lab:
            result = measure_on_model(lab, options)
    print(table(result))
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

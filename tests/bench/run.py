#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Measures the server against its peers: bench.json, bench.svg and a table.

Ends with status 0 when everything of ours was measured, however fast; a peer that cannot run is a line with its error. There is no
judgement of speed: the issue's figures stand beside ours.
"""

import argparse
import json
import pathlib
import sys
import time

import machine
import plot
import report as reporting
import steps
import throughput
import whole_server


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=pathlib.Path, default=pathlib.Path("build/release"), help="build folder (%(default)s)")
    parser.add_argument("--output", type=pathlib.Path, help="folder of bench.json and bench.svg (parent of the build folder)")
    parser.add_argument("--quick", action="store_true", help="about a minute: proves that the benchmark works, measures little")
    parser.add_argument("--only", choices=("throughput", "server"), help="one half of it")
    return parser.parse_args()


def measure_throughput(arguments):
    results, curves = [], {}
    with machine.huge_pages(throughput.HUGE_MIB) as huge:
        settings = throughput.Settings(arguments.build.resolve() / "tests/bench", arguments.quick, huge)
        stages = [("both directions against memif and vhost-user", lambda: results.extend(throughput.compare(settings))),
                  ("curves", lambda: curves.update(throughput.curves(settings))),
                  ("cycles per step", lambda: curves.update(cycles_per_step=steps.cycles(settings),
                                                            generator=throughput.generator_cost(settings)))]
        if not arguments.quick:
            stages[1:1] = [("peers with many interfaces", lambda: results.extend(throughput.compare_many_interfaces(settings))),
                           ("without huge pages", lambda: results.extend(throughput.compare_small_pages(settings)))]
        for words, stage in stages:
            print(f"bench: {words} ..", file=sys.stderr, flush=True)
            stage()
    return results, curves


def failures(report):
    """What of ours has no figure."""
    rows = [f"{row['name']} {row['frame_bytes'] or ''}: {row['note']}" for row in report["results"] if row["ours"] is None]
    points = [f"curve {name} at {point['x']}: {point['error']}" for name in ("guests", "owned_ports", "frame_bytes")
              for point in report["curves"].get(name, []) if "error" in point]
    return rows + points


def main():
    arguments = parse_arguments()
    output = arguments.output or arguments.build.resolve().parent
    started = time.monotonic()
    report = {"schema": 1, "quick": arguments.quick, "machine": machine.describe(), "results": [], "curves": {}}
    if arguments.only != "server":
        report["results"], report["curves"] = measure_throughput(arguments)
    if arguments.only != "throughput":
        print("bench: the whole server ..", file=sys.stderr, flush=True)
        report["results"] += whole_server.measure(arguments.build.resolve(), arguments.quick)
    report["machine"]["seconds"] = round(time.monotonic() - started, 1)
    output.mkdir(parents=True, exist_ok=True)
    (output / "bench.json").write_text(json.dumps(report, indent=1) + "\n")
    (output / "bench.svg").write_text(plot.draw(report))
    print(reporting.table(report))
    print(f"written: {output / 'bench.json'}, {output / 'bench.svg'} ({report['machine']['seconds']} s)")
    missing = failures(report)
    for line in missing:
        print(f"bench: not measured: {line}", file=sys.stderr)
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())

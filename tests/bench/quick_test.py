# SPDX-License-Identifier: BSD-2-Clause
"""Runs the benchmark in its short form and looks at the form of what it writes, not at the figures."""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import xml.dom.minidom

KEYS = {"name", "frame_bytes", "guests", "unit", "ours", "peer", "peer_value", "ratio", "note"}
EXPECTED = {"wire_to_guest", "guest_to_wire", "shared_memory_per_guest", "private_memory_per_guest", "attach_time_p50", "idle_cpu",
            "request_response_p50", "request_response_p99", "engine_kill_to_frame_p50", "engine_kill_to_frame_p99",
            "kill_all_to_frame_p50"}


def check(report):
    """What is wrong with it."""
    found = {row["name"] for row in report["results"]}
    yield from (f"no result {name}" for name in sorted(EXPECTED - found))
    for row in report["results"]:
        if not KEYS <= row.keys():
            yield f"{row}: keys are missing: {sorted(KEYS - row.keys())}"
        elif row["ours"] is None or row["ours"] < 0:
            yield f"{row['name']} {row['frame_bytes']}: no figure of ours: {row['note']}"
        elif row["peer_value"] is None and row["peer"] and not row["note"]:
            yield f"{row['name']} {row['peer']}: neither figure nor reason"
    for name in ("guests", "owned_ports", "frame_bytes"):
        points = report["curves"].get(name, [])
        if len(points) < 2 or any(not point.get(way) for point in points for way in ("wire_to_guest", "guest_to_wire")):
            yield f"curve {name} is not whole: {points}"
    for direction, cycles in report["curves"].get("cycles_per_step", {"missing": {}}).items():
        if len(cycles) < 4:
            yield f"cycles per step {direction}: {cycles}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", required=True)
    build = parser.parse_args().build
    if os.geteuid() != 0:
        print("skipped: needs root for network namespaces")
        return 77
    folder = pathlib.Path(__file__).parent
    with tempfile.TemporaryDirectory() as output:
        done = subprocess.run([sys.executable, "-B", folder / "run.py", "--quick", "--build", build, "--output", output], check=False)
        if done.returncode != 0:
            print(f"run.py ended with status {done.returncode}")
            return 1
        report = json.loads((pathlib.Path(output) / "bench.json").read_text())
        xml.dom.minidom.parse(str(pathlib.Path(output) / "bench.svg"))
    wrong = list(check(report))
    for line in wrong:
        print(line)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

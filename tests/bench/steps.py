# SPDX-License-Identifier: BSD-2-Clause
"""Cycles per frame of each step of the data path."""

import statistics

from programs import in_turn
from throughput import DIRECTIONS, GUESTS, OWNED_PORTS


def cycles(settings):
    """{direction: {step: cycles per frame}}, or {direction: {"error": text}}."""
    result = {}
    for direction in DIRECTIONS:
        turned = ["--guest-to-wire"] if direction == "guest_to_wire" else []
        run = in_turn({"steps": [settings.programs / "bench_steps", *turned, "--guests", GUESTS, "--ports", OWNED_PORTS,
                                 settings.eal(384)]}, settings.curve_rounds, settings.milliseconds)["steps"]
        if run.rate is None:
            result[direction] = {"error": run.error}
            continue
        result[direction] = {name: statistics.median(sample[name] / sample["frames"] for sample in run.samples if sample["frames"])
                             for name in run.description["steps"]}
    return result

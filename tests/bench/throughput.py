# SPDX-License-Identifier: BSD-2-Clause
"""Frames per second of the data path, ours against the peers, and as curves."""

from programs import in_turn, ratio_of_pairs

DIRECTIONS = ("wire_to_guest", "guest_to_wire")
GUESTS = 64
OWNED_PORTS = 1024

# The least that is asked for: frames per second, and ratio by peer.
TARGET_RATE = {64: 14.88e6}
TARGET_RATIO = {(64, "memif"): 1.3, (64, "vhost-user"): 3.0, (1500, "memif"): 2.0, (1500, "best"): 1.0}

HUGE_MIB = 1600  # of all programs that are there at once
MANY_INTERFACES = 16


class Settings:
    """How long and how often to measure, and with which memory."""

    def __init__(self, programs, quick, huge):
        self.programs = programs
        self.quick = quick
        self.huge = huge
        self.rounds = 2 if quick else 7
        self.milliseconds = 100 if quick else 250
        self.curve_rounds = 1 if quick else 3

    def eal(self, mebibytes, huge=None):
        huge = self.huge if huge is None else huge
        kind = "--in-memory --single-file-segments" if huge else "--no-huge --no-shconf"
        return f"--eal={kind} -m {mebibytes}"

    def ours(self, direction, frame_bytes=64, guests=GUESTS, ports=OWNED_PORTS, huge=None):
        return self._command("bench_server", direction, frame_bytes, self.eal(384, huge), "--guests", guests, "--ports", ports)

    def peer(self, kind, direction, frame_bytes=64, interfaces=1, huge=None):
        memory = 384 if interfaces == 1 else 1024
        return self._command("bench_peer", direction, frame_bytes, self.eal(memory, huge), kind,
                             "--interfaces", interfaces, "--burst", 64)

    def generator(self):
        return self._command("bench_server", "wire_to_guest", 64, self.eal(384), "--generator")

    def _command(self, program, direction, frame_bytes, eal, *more):
        turned = ["--guest-to-wire"] if direction == "guest_to_wire" else []
        return [self.programs / program, "--bytes", frame_bytes, eal, *turned, *more]


def _row(name, frame_bytes, ours, label, peer, target_ratio, note):
    error = ours.error or peer.error
    return {
        "name": name, "frame_bytes": frame_bytes, "guests": GUESTS, "unit": "frames/s",
        "ours": ours.rate, "peer": label, "peer_value": peer.rate, "ratio": ratio_of_pairs(ours, peer),
        "target": TARGET_RATE.get(frame_bytes) if target_ratio else None, "target_ratio": target_ratio,
        "note": f"{note}; {error}" if error else note,
    }


def _best_peer(rows, name, frame_bytes):
    """The row against whichever peer was faster."""
    candidates = [row for row in rows if row["name"] == name and row["frame_bytes"] == frame_bytes
                  and row["peer_value"] is not None and row["ratio"] is not None]
    if not candidates:
        return []
    best = max(candidates, key=lambda row: row["peer_value"])
    return [{**best, "peer": "best", "target_ratio": TARGET_RATIO[(frame_bytes, "best")],
             "note": f"the faster one: {best['peer']}"}]


def compare(settings):
    """Rows of both directions and frame sizes against one interface of each peer, and against several."""
    rows = []
    memory = "huge pages on both sides" if settings.huge else "no huge pages on either side"
    for direction in DIRECTIONS:
        for frame_bytes in (64, 1500):
            runs = in_turn({
                "ours": settings.ours(direction, frame_bytes),
                "memif": settings.peer("memif", direction, frame_bytes),
                "vhost-user": settings.peer("vhost", direction, frame_bytes),
            }, settings.rounds, settings.milliseconds)
            note = f"the peer has 1 interface, its best case; {memory}"
            size_rows = [_row(direction, frame_bytes, runs["ours"], peer, runs[peer],
                              TARGET_RATIO.get((frame_bytes, peer)), note) for peer in ("memif", "vhost-user")]
            if frame_bytes == 1500:
                size_rows += _best_peer(size_rows, direction, frame_bytes)
            rows += size_rows
    return rows


def compare_many_interfaces(settings):
    rows = []
    for direction in DIRECTIONS:
        for kind, peer in (("memif", "memif x16"), ("vhost", "vhost-user x16")):
            runs = in_turn({"ours": settings.ours(direction),
                            peer: settings.peer(kind, direction, interfaces=MANY_INTERFACES)},
                           settings.curve_rounds, settings.milliseconds)
            rows.append(_row(direction, 64, runs["ours"], peer, runs[peer], None,
                             "the peer has 16 interfaces, the most that DPDK's 32 ports allow, frames spread over them"))
    return rows


def compare_small_pages(settings):
    rows = []
    for direction in DIRECTIONS:
        runs = in_turn({"ours": settings.ours(direction, huge=False),
                        "memif": settings.peer("memif", direction, huge=False)},
                       settings.curve_rounds, settings.milliseconds)
        rows.append(_row(direction, 64, runs["ours"], "memif, 4 KiB pages", runs["memif"], None,
                         "no huge pages on either side, 1 interface"))
    return rows


def curve(settings, points, command):
    """[{x, direction: frames/s}] of our rate over `points`; a point that failed holds its error."""
    result = []
    for x in points:
        point = {"x": x}
        for direction in DIRECTIONS:
            run = in_turn({"ours": command(direction, x)}, settings.curve_rounds, settings.milliseconds)["ours"]
            point[direction] = run.rate
            if run.error:
                point["error"] = run.error
        result.append(point)
    return result


def curves(settings):
    guests = (1, 64) if settings.quick else (1, 8, 64, 256)
    ports = (64, 65536) if settings.quick else (16, 64, 256, 1024, 4096, 16384, 65536)
    sizes = (64, 1500) if settings.quick else (64, 128, 256, 512, 1024, 1500, 9000)
    return {
        "guests": curve(settings, guests, lambda direction, x: settings.ours(direction, guests=x)),
        "owned_ports": curve(settings, ports, lambda direction, x: settings.ours(direction, guests=min(x, GUESTS), ports=x)),
        "frame_bytes": curve(settings, sizes, lambda direction, x: settings.ours(direction, frame_bytes=x)),
    }


def generator_cost(settings):
    """What the in-memory port costs: frames per second when it does nothing but hand out frames and take them back."""
    run = in_turn({"generator": settings.generator()}, settings.curve_rounds, settings.milliseconds)["generator"]
    if run.rate is None:
        return {"error": run.error}
    return {"frames_per_s": run.rate, "cycles_per_frame": run.samples[0]["tsc_hz"] / run.rate}

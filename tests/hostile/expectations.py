# SPDX-License-Identifier: BSD-2-Clause
"""What each attack of hostile_guest must come to. A judge takes what was seen and says what is wrong with it, or None."""

EACCES, EPERM, EINVAL, ENOSPC, EDQUOT, EADDRINUSE, EBUSY = -13, -1, -22, -28, -122, -98, -16
TX, RECORD, RX, CONTROL = "broken tx ring", "broken record in tx ring", "broken rx ring", "control ring: impossible positions"
STATE = "frontend state out of turn"
QUARANTINED_PORTS = 16384


def detached(*reasons):
    return lambda seen: None if seen.get("detached") in reasons else f"wanted a detach for {' or '.join(reasons)}"


def connected(**counters):
    """Stays connected; frames were taken; the guest's counters have at least these values."""
    def judge(seen):
        if seen.get("connected") is not True or seen.get("taken", True) is not True:
            return "wanted to stay connected, with all frames taken"
        few = {name: value for name, value in counters.items() if seen["counters"].get(name, 0) < value}
        return f"wanted counters {few}" if few else None
    return judge


def any_drop(seen):
    dropped = sum(value for name, value in seen["counters"].items() if name.startswith("drop_"))
    return connected()(seen) or (None if dropped > 0 else "wanted drops")


def refused_each(seen):
    """No attempt at a connection may succeed, or end without a reason."""
    silent = [what for what, reason in seen["reasons"].items() if reason in ("", "(no reason)")]
    return None if not seen["accepted"] and not silent else f"accepted: {seen['accepted']}, without a reason: {silent}"


def facts(**wanted):
    def judge(seen):
        wrong = {key: seen.get(key) for key, value in wanted.items()
                 if (not value(seen.get(key)) if callable(value) else seen.get(key) != value)}
        return f"not as wanted: {wrong}" if wrong else None
    return judge


def others_refused(seen):
    allowed = {what: status for what, status in seen["refused"].items() if status not in (EPERM, EACCES)}
    return f"not refused: {allowed}" if allowed or not seen["victim_connected"] else None


def refused_as_nonsense(seen):
    wrong = {what: status for what, status in seen["answers"].items() if status not in (EINVAL, EPERM, EDQUOT, EADDRINUSE)}
    return f"not refused: {wrong}" if wrong or len(seen["answers"]) < 6 else None


def both(first, second):
    return lambda seen: first(seen) or second(seen)


# name: what it must come to, whether the test sends from the wire to the hostile guest's port meanwhile
ATTACKS = {
    "head-beyond-capacity": (detached(TX), False),
    "head-backwards": (detached(TX), False),
    "head-unaligned": (detached(TX), False),
    "head-over-nothing": (detached(RECORD), False),
    "length-beyond-head": (detached(RECORD), False),
    "length-huge": (detached(RECORD), False),
    "length-zero": (detached(RECORD), False),
    "length-over-end": (detached(RECORD), False),
    "pad-short": (detached(RECORD), False),
    "pad-long": (detached(RECORD), False),
    "pad-with-flags": (detached(RECORD), False),
    "unknown-flags": (detached(RECORD), False),
    "rx-tail-ahead": (detached(RX), True),
    "rx-tail-behind": (detached(RX), True),
    "rx-never-read": (connected(drop_ring_full=100), True),
    "header-rewritten": (connected(from_guest_frames=100), False),
    "positions-while-working": (detached(TX, RECORD), False),
    "records-while-working": (detached(TX, RECORD), False),
    "holes-punched": (both(detached(TX, RECORD), facts(shrunk=False, regions=lambda n: n == 4)), False),
    "pages-unmapped": (both(connected(), facts(unshare=EBUSY)), False),
    "doorbell-storm": (both(connected(doorbells_received=1), facts(rings=lambda n: n > 10_000)), False),
    "doorbell-full": (connected(), False),
    "notifications-not-taken": (connected(doorbells_sent=10), True),
    "control-storm": (both(connected(), facts(sent=lambda n: n >= 32)), False),
    "control-garbage": (both(connected(), facts(sent=lambda n: n >= 32)), False),
    "control-head-jump": (detached(CONTROL), False),
    "control-tail-jump": (detached(CONTROL), False),
    "state-toggled": (facts(writes=lambda n: n > 100), False),
    "device-toggled": (facts(writes=lambda n: n > 100), False),
    "state-garbage": (detached(STATE), False),
    "keys-garbage": (both(refused_each, facts(attempts=56)), False),
    "regions-wrong": (refused_each, False),
    "mode-garbage": (detached("request-mode is neither shared nor dedicated"), False),
    "many-regions": (both(connected(), facts(status=ENOSPC, shared=lambda n: n < 1000)), False),
    "keys-changed-when-connected": (connected(), False),
    "spoofed-mac": (connected(drop_spoofed_mac=500), False),
    "spoofed-ip": (connected(drop_spoofed_ip=500), False),
    "spoofed-arp": (connected(drop_spoofed_arp=500), False),
    "spoofed-nd": (any_drop, False),
    "foreign-udp-port": (connected(drop_foreign_port=500), False),
    "foreign-tcp-port": (connected(drop_foreign_port=500), False),
    "vlan-tagged": (connected(drop_vlan=500), False),
    "random-frames": (any_drop, False),
    "gso-lies": (connected(drop_bad_offload=500), False),
    "long-frames": (connected(drop_wire_too_long=500), False),
    "ports-hogged": (facts(status=EDQUOT, lease=EDQUOT, honest_port=EADDRINUSE, release_honest_port=EPERM,
                           claimed=lambda n: n <= 4096), False),
    "others-touched": (others_refused, False),
    "store-filled": (facts(status=lambda s: s < 0, nodes=lambda n: n < 100_000, overlong=lambda s: s < 0), False),
    "ports-garbage": (refused_as_nonsense, False),
    "events-not-taken": (both(connected(), facts(watches=lambda n: 0 < n < 100)), False),
    "names-hogged": (facts(names=1000, leased=lambda n: n > 2 * QUARANTINED_PORTS, next=0), False),
}
PHASES = ["domain", "offered", "shared", "initialised", "connected", "sending"]

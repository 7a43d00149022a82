# SPDX-License-Identifier: BSD-2-Clause
"""Hypercalls of each PV domain while a script runs, counted by the hypervisor's own trace.

xentrace records a domain's entry into each hypercall and which domain a processor runs (xen/include/public/trace.h). It
costs time: what runs meanwhile is counted, not timed.
"""

import collections
import struct

from machine import Failure

EVENTS = 0x00221000  # runstate changes, entries from PV domains
LOST_RECORDS, CPU_CHANGE, RUNSTATE_CHANGE, PV_HYPERCALL = 0x1F001, 0x1F003, 0x21001, 0x20100D
STATES, NEW_STATE, RUNNING = 0x330, 0x30, 0x00  # bits of that event; the domain is the upper half of its word
IDLE = 0x7FFF
EVENT_CHANNEL_OP, GRANT_TABLE_OP = 32, 20  # xen/include/public/xen.h


class Counts:
    """`calls[domid][number]`: hypercalls by number; `granted[domid, operation]`: entries of its grant table operations."""

    def __init__(self):
        self.calls = collections.defaultdict(collections.Counter)
        self.granted = collections.Counter()

    def total(self, domids, number=None):
        """Of these domains, of all kinds or of one."""
        return sum(self.calls[domid].total() if number is None else self.calls[domid][number] for domid in domids)


def count(machine, run):
    """Counts while run() does."""
    tracer = machine.start_step(f"exec xentrace --discard-buffers --trace-buf-size=2048 --evt-mask={EVENTS:#x} /tmp/trace")
    try:
        machine.wait_until("[ -s /tmp/trace ]", "xentrace's first records")
        run()
    finally:
        machine.run("pkill -x xentrace")
        tracer.wait(60)
    machine.run("mv /tmp/trace /lab/trace")
    trace = machine.share / "trace"
    counts = parse(trace.read_bytes())
    trace.unlink()
    return counts


def parse(trace):
    """Counts of a file of xentrace's."""
    counts, running, cpu, at = Counts(), {}, 0, 0
    while at + 4 <= len(trace):
        header, = struct.unpack_from("<I", trace, at)
        event, words = header & 0xFFFFFFF, header >> 28 & 7
        at += 12 if header >> 31 else 4
        if at + 4 * words > len(trace):
            break
        extra = struct.unpack_from(f"<{words}I", trace, at)
        at += 4 * words
        if event == CPU_CHANGE:
            cpu = extra[0]
        elif event == LOST_RECORDS:
            raise Failure("xentrace lost records: its buffers are too small for this load")
        elif event & ~STATES == RUNSTATE_CHANGE and event & NEW_STATE == RUNNING:
            running[cpu] = extra[0] >> 16
        elif event == PV_HYPERCALL and running.get(cpu, IDLE) != IDLE:
            note(counts, running[cpu], extra)
    return counts


def note(counts, domid, extra):
    """A hypercall's record: number, which arguments follow (two bits for each), arguments."""
    number = extra[0] & 0xFFFFF
    counts.calls[domid][number] += 1
    if number == GRANT_TABLE_OP:  # operation and number of entries
        counts.granted[domid, extra[1]] += extra[2]

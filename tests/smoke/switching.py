# SPDX-License-Identifier: BSD-2-Clause
"""A guest under load that is switched between the server and a VF: numbered datagrams each way, and what each switch did to them."""

import array
import bisect
import json
import random
import signal
import time

import lab as laboratory
from lab import WIRE4

TO_GUEST, FROM_GUEST = 5001, 5002  # ports
AFTER_NS = 20_000_000  # a pause that a switch causes has begun by then
CALM_NS = 5_000_000  # likewise, one that the change of the path causes
CHANGE = ("steering", "draining", "committing", "returning", "steering-back")  # the steps in which the path changes


class Stream:
    """smoke_numbers from one namespace to an address in another."""

    def __init__(self, lab, name, source, target, address, port, per_second):
        self._start_receiver(lab, name, target, port)
        self._sender = self.sender(lab, name, source, address, port, per_second)

    @classmethod
    def of(cls, name, file):
        """One whose programs are somebody else's: take_account() completes it."""
        stream = cls.__new__(cls)
        stream._begin(name, file)
        return stream

    @staticmethod
    def sender(lab, name, source, address, port, per_second):
        return lab.spawn(f"{name}-out", [str(lab.program("smoke_numbers")), "send", address, str(port), str(per_second)], namespace=source)

    def _begin(self, name, file):
        self.name, self._file = name, file
        self.sent = self.received = self.lost = self.doubled = self.reordered = self.overrun = 0
        self.times, self.sent_times = array.array("Q"), array.array("Q")  # of arrivals
        self.events = []  # what happened to how many, and when: [what, ns, count]

    def _start_receiver(self, lab, name, target, port):
        self._begin(name, lab.directory / f"{name}.times")
        self.receiver = lab.spawn(f"{name}-in", [str(lab.program("smoke_numbers")), "receive", str(port), str(self._file)], namespace=target)
        laboratory.wait_until(lambda: "listens" in self.receiver.log, f"the receiver of {name}", explain=self.receiver.tail)

    def stop(self):
        """Takes the account; `overrun` are those that came and for which the receiver had no time."""
        self._end(self._sender)
        self.take_account(json.loads(self._sender.log.splitlines()[-1])["sent"], self.end_receiver())

    @staticmethod
    def _end(process):
        process.signal(signal.SIGTERM)
        if process.wait() != 0:
            raise laboratory.Failure(process.tail())

    def end_receiver(self):
        self._end(self.receiver)
        return json.loads(self.receiver.log.splitlines()[-1])

    def take_account(self, sent, account):
        self.sent = sent
        self.received, self.doubled, self.reordered, self.overrun = (
            account[key] for key in ("received", "doubled", "reordered", "overrun"))
        self.events = account["events"]
        self.lost = self.sent - self.received - self.overrun
        with open(self._file, "rb") as file:
            both = array.array("Q", file.read())
        self.times, self.sent_times = both[::2], both[1::2]

    def pause_ns(self, since_ns, until_ns):
        """From when to when: the longest time without an arrival though something was under way, of those that touch this span; a sender
        that pauses is none."""
        first = max(bisect.bisect_left(self.times, since_ns), 1)
        last = min(bisect.bisect_right(self.times, until_ns) + 1, len(self.times))
        began = (max(self.times[at - 1], self.sent_times[at]) for at in range(first, last))
        return max(((since, ended) for since, ended in zip(began, self.times[first:last]) if since <= until_ns),
                   key=lambda pause: pause[1] - pause[0], default=(since_ns, since_ns))

    def pause_us(self, since_ns, until_ns):
        """How long that was."""
        began_ns, ended_ns = self.pause_ns(since_ns, until_ns)
        return (ended_ns - began_ns) / 1000

    def count(self, what, since_ns, until_ns):
        """How many were lost, doubled or reordered in that span."""
        return sum(count for kind, at_ns, count in self.events if kind == what and since_ns <= at_ns < until_ns)

    def per_second(self, since_ns, until_ns):
        count = bisect.bisect_left(self.times, until_ns) - bisect.bisect_left(self.times, since_ns)
        return count * 1e9 / (until_ns - since_ns)


class Load:
    """Both ways at once: with Load(...) as load."""

    def __init__(self, lab, guest, per_second):
        home = lab.guests[guest].namespace
        address = lab.ctl("guest", guest)["ipv4"].split("/")[0]
        self.inbound = Stream(lab, f"{guest}-inbound", lab.wire, home, address, TO_GUEST, per_second)
        self.outbound = Stream(lab, f"{guest}-outbound", home, lab.wire, WIRE4, FROM_GUEST, per_second)
        self.streams = (self.inbound, self.outbound)

    def stop(self):
        for stream in self.streams:
            stream.stop()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self.stop()


class Switch:
    """One of them, as the operator asked for it and as the server tells of it."""

    def __init__(self, lab, guest, to, *options):
        self.to, self.began_ns = to, time.time_ns()
        self.guest = lab.ctl("switch", guest, to, *options)
        self.ended_ns = time.time_ns()
        last = self.guest["switch"]["last"]
        self.reached, self.reason, self.took_us = self.guest["path"] == to, last["reason"], last["took_us"]
        self.over_ns = last["ended_unix_us"] * 1000  # for the server; librettosctl hears of it later
        self.steps = {step["step"]: step["took_us"] for step in last["steps"]}
        self.drained = last["frames_drained"]

    def span_ns(self):
        return self.began_ns, self.ended_ns + AFTER_NS

    def change_ns(self):
        """The part of it in which the path changes, by the server's times of its steps, and until all is calm again."""
        names, times_us = list(self.steps), list(self.steps.values())
        changing = [at for at, name in enumerate(names) if name in CHANGE]
        from_change_us, after_us = sum(times_us[changing[0]:]), sum(times_us[changing[-1] + 1:])
        return self.over_ns - from_change_us * 1000, self.over_ns - after_us * 1000 + CALM_NS

    def pause_us(self, stream):
        return stream.pause_us(*self.span_ns())

    def count(self, what, streams):
        """Lost, doubled or reordered ones since it began, until all is calm again."""
        return sum(stream.count(what, *self.span_ns()) for stream in streams)


def bounce(lab, guest, times, settle_s=0.1):
    """There and back, so many times. Returns the switches; raises lab.Failure at the first that does not get there."""
    switches = []
    for _ in range(times):
        for to in ("direct", "server"):
            time.sleep(settle_s)
            switches.append(Switch(lab, guest, to))
            if not switches[-1].reached:
                raise laboratory.Failure(f"{guest} did not get to {to}: {switches[-1].reason}")
    return switches


def idle_spans(times, settle_s=0.1, like_s=0.03):
    """As many spans of time like those of switches, without any: what pauses this machine makes by itself."""
    spans = []
    for _ in range(times):
        time.sleep(settle_s)
        began_ns = time.time_ns()
        time.sleep(like_s)
        spans.append((began_ns, time.time_ns() + AFTER_NS))
    time.sleep(AFTER_NS / 1e9)
    return spans


def spans_between(switches):
    """The time between one and the next, when all is calm again."""
    return [(before.ended_ns + AFTER_NS, after.began_ns) for before, after in zip(switches, switches[1:])]


def windows_like(windows, spans, each):
    """For each window so many of the same length in these spans, each place being as likely as any other."""
    chance = random.Random(82599)
    drawn = []
    for began_ns, ended_ns in windows:
        length_ns = ended_ns - began_ns
        places = [(since, until - length_ns) for since, until in spans if until - since > length_ns]
        if places:
            drawn += [(since, since + length_ns) for since in (
                chance.randrange(*place) for place in chance.choices(places, [last - first for first, last in places], k=each))]
    return drawn


def stood_still(pause, stalls):
    """Whether a processor did, of [(from, to), ...], for at least half of a pause (from, to)."""
    began, ended = pause
    return any(2 * (min(ended, until) - max(began, since)) >= ended - began for since, until in stalls)

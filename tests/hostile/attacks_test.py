# SPDX-License-Identifier: BSD-2-Clause
"""One hostile guest after the other beside an honest one, which must be served all the time.

    attacks_test.py BUILD [ATTACK..]
"""

import json
import pathlib
import select
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "smoke"))
import lab as smoke
from expectations import ATTACKS, PHASES, QUARANTINED_PORTS
from watching import HONEST_SERVER, Poller, totals

LONGEST_S = 8  # an honest question's answer on a loaded machine, two lost SYNs included


class Rogue:
    """hostile_guest, as a process with a line of JSON at a time."""

    def __init__(self, laboratory, attack):
        self.lab, self.attack, self.name = laboratory, attack, f"rogue-{attack}"
        # Unbuffered: of a line that was read ahead select() knows nothing.
        self.process = subprocess.Popen(
            [laboratory.build / "tests/hostile/hostile_guest", laboratory.directory / "hv.sock", self.name, attack],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            stream.close()

    def has_line(self):
        return bool(select.select([self.process.stdout], [], [], 0)[0])

    def line(self, timeout_s=60):
        if not select.select([self.process.stdout], [], [], timeout_s)[0]:
            raise smoke.Failure(f"{self.name} says nothing for {timeout_s} s")
        text = self.process.stdout.readline()
        if not text:
            raise smoke.Failure(f"{self.name} ended: {self.process.stderr.read().decode(errors='replace').strip()}")
        return json.loads(text)


def send_from_wire(laboratory, rogue, port):
    """Datagrams to the hostile guest until it has something to say."""
    with laboratory.socket(smoke.socket.AF_INET, smoke.socket.SOCK_DGRAM) as sender:
        end = time.monotonic() + 30
        while not rogue.has_line() and time.monotonic() < end:
            for _ in range(50):
                sender.sendto(b"x" * 1000, (smoke.SHARED4, port))
            time.sleep(0.002)


class Watch:
    """What must stay as it is, whatever the hostile guest does."""

    def __init__(self, laboratory, poller):
        self.lab, self.poller = laboratory, poller
        smoke.wait_until(lambda: poller.answers >= 3, "the first answers")
        self.generation = laboratory.ctl("status")["engine_generation"]
        self.before = self.resources()
        self.log_lines = self.count_log_lines()

    def resources(self):
        numbers = {f"hypervisord {name}": value for name, value in totals(self.lab).items() if name != "quarantined_ports"}
        numbers.update({f"engine {name}": value for name, value in self.lab.ctl("status")["resources"].items()})
        for name, process in (("hypervisord", self.lab.hypervisord_process), ("holder", self.lab.server_process)):
            numbers[f"{name} fds"] = len(list(pathlib.Path(f"/proc/{process.pid}/fd").iterdir()))
        return numbers

    def count_log_lines(self):
        return {process.name: process.log.count("\n") for process in (self.lab.server_process, self.lab.hypervisord_process)}

    def served_meanwhile(self):
        """The honest guest: an answer during the attack or right after it, and none that failed or came late."""
        answers = self.poller.answers
        smoke.wait_until(lambda: self.poller.answers >= answers + 2 or self.poller.failures, "the honest guest's answer")
        _, failures, longest = self.poller.take()
        if failures or longest > LONGEST_S:
            return f"the honest guest was not served: {failures[:3]}, longest {longest:.1f} s"
        return None

    def all_as_before(self, seconds):
        status = self.lab.ctl("status")
        if status["engine_generation"] != self.generation:
            return f"the engine was replaced: generation {status['engine_generation']}"
        if totals(self.lab)["quarantined_ports"] > QUARANTINED_PORTS:
            return "too many quarantined ports"
        smoke.wait_until(lambda: self.resources() == self.before, "resources to be as before",
                         explain=lambda: f"before {self.before}\nnow    {self.resources()}")
        lines, self.log_lines = self.log_lines, self.count_log_lines()
        for name, now in self.log_lines.items():
            if now - lines[name] > 100 + 12 * seconds:
                return f"{now - lines[name]} log lines of {name} in {seconds:.1f} s"
        return None


def attack(laboratory, watch, name):
    judge, from_wire = ATTACKS[name]
    begin = time.monotonic()
    breaches = laboratory.ctl("status")["guests"]["breaches"]
    with Rogue(laboratory, name) as rogue:
        ready = rogue.line()
        if from_wire:
            send_from_wire(laboratory, rogue, ready["port"])
        seen = rogue.line()
        seen["counters"] = laboratory.counters(rogue.name)
        fault = judge(seen) or watch.served_meanwhile()
        if not fault and "detached" in seen:
            now = laboratory.ctl("status")["guests"]["breaches"]
            told = [guest["detach_reason"] for guest in laboratory.ctl("guests") if guest["name"] == rogue.name]
            if name != "mode-garbage" and (now <= breaches or told != [seen["detached"]]):
                fault = f"{breaches} breaches, then {now}; the operator sees {told}"
    seconds = time.monotonic() - begin
    return fault or watch.all_as_before(seconds), seen, seconds


def killed(laboratory, watch, phase):
    begin = time.monotonic()
    with Rogue(laboratory, f"hold-{phase}") as rogue:
        rogue.line()
    fault = watch.served_meanwhile()
    seconds = time.monotonic() - begin
    return fault or watch.all_as_before(seconds), {"phase": phase}, seconds


def main():
    build, chosen = sys.argv[1], sys.argv[2:]
    faults = 0
    try:
        with smoke.Lab(build) as laboratory:
            laboratory.guest("honest", [sys.executable, "-c", HONEST_SERVER])
            laboratory.wait_for_tcp(smoke.SHARED4, 80)
            with Poller(laboratory) as poller:
                watch = Watch(laboratory, poller)
                steps = [(f"killed-{phase}", killed, phase) for phase in PHASES] + \
                        [(name, attack, name) for name in ATTACKS]
                for name, step, argument in steps:
                    if chosen and name not in chosen:
                        continue
                    try:
                        fault, seen, seconds = step(laboratory, watch, argument)
                    except smoke.Failure as failure:
                        fault, seen, seconds = str(failure), {}, 0
                    print(f"{'FAILED' if fault else 'ok    '} {name} ({seconds:.1f} s)", flush=True)
                    if fault:
                        faults += 1
                        print(f"       {fault}\n       {json.dumps(seen)[:2000]}", flush=True)
                print(f"the honest guest answered {poller.answers} times")
            if faults:
                print(laboratory.report(40))
    except smoke.CannotRun as reason:
        print(f"skipped: {reason}")
        return 77
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: BSD-2-Clause
"""A hostile domU beside the honest ones: the attacks of tests/hostile on a real Xen, and those that only a domU there can make."""

import json
import pathlib
import sys
import time

import overlay
from machine import PATIENCE, Failure
from netserver import SHARED4

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "hostile"))
from expectations import ATTACKS, EDQUOT, both, connected, detached, facts, refused_each

NAME = "lr-hostile"
PORTS = 200  # its limit: each claim over the control ring takes milliseconds here
SLOW_HONEST_S = 30


def others_refused(seen):
    allowed = {what: status for what, status in seen["refused"].items() if status >= 0}
    return f"not refused: {allowed}" if allowed or not seen["victim_connected"] else None


def survived(_):
    """Whatever became of it: what counts is how the others fared."""
    return None


# As tests/hostile/expectations.py, for what is another way on Xen.
XEN_ATTACKS = {
    "grants-wrong": (both(refused_each, facts(attempts=12)), False),
    "pages-wrong": (both(refused_each, facts(attempts=8)), False),
    "directories-wrong": (both(refused_each, facts(attempts=14)), False),
    "one-page": (facts(mapped=False, end=lambda text: "Invalid argu" in text), False),  # Xen bounds how often one grant is mapped
    "grants-ended": (both(connected(), facts(unshare=0, tx=0)), False),
    "events-wrong": (both(refused_each, facts(attempts=20)), False),
    "events-closed": (connected(), False),
    "others-touched": (others_refused, False),
    "store-filled": (facts(status=lambda s: s < 0, nodes=lambda n: n < 10_000, overlong=lambda s: s < 0), False),
    "hypercall-garbage": (both(connected(), facts(succeeded=[], calls=lambda n: n > 200)), False),
    "ports-hogged": (both(ATTACKS["ports-hogged"][0], facts(status=EDQUOT, claimed=lambda n: n <= PORTS)), False),
    "doorbell-storm": (both(connected(doorbells_received=1), facts(rings=lambda n: n > 1000)), False),
    "device-toggled": (survived, False),
    "state-toggled": (survived, False),
}
RINGS = ["head-beyond-capacity", "head-backwards", "length-beyond-head", "length-huge", "length-over-end", "pad-long", "unknown-flags",
         "rx-tail-ahead", "rx-tail-behind", "rx-never-read", "header-rewritten", "positions-while-working", "records-while-working"]
CONTROL = ["control-storm", "control-garbage", "control-head-jump", "control-tail-jump"]
FRAMES = ["spoofed-mac", "spoofed-ip", "spoofed-arp", "foreign-tcp-port", "random-frames", "gso-lies"]
GRANTS = ["grants-wrong", "pages-wrong", "directories-wrong", "one-page", "grants-ended", "events-wrong", "events-closed"]
STORE = ["state-garbage", "state-toggled", "keys-garbage", "regions-wrong", "store-filled", "device-toggled", "keys-changed-when-connected"]
PORTMAP = ["ports-garbage", "ports-hogged", "hypercall-garbage"]

# Each round a download with its content checked and a request; says how long it took, in ms.
HONEST_ROUNDS = f"""
until [ -e /run/no-more-rounds ]; do
    began=$(date +%s%N)
    sum=$(ip netns exec wire curl -sS --fail --max-time 60 http://{SHARED4}/small | sha256sum)
    pong=$(ip netns exec wire redis-cli -h {SHARED4} ping 2>&1)
    took=$((($(date +%s%N) - began) / 1000000))
    [ "${{sum%% *}} $pong" = "$1 PONG" ] && echo "ok $took" || echo "FAILED $took $pong"
done"""
# The operator attaches it again and again: no back-off after a breach.
INSIST = f"until [ -e /run/no-more-rounds ]; do librettosctl attach {NAME} >/dev/null 2>&1; sleep 0.2; done"
# From the wire to the port that the hostile guest says it has, until there is a file that ends it.
FLOOD = """
import os, socket, subprocess, sys, time
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
port = ""
while not port and not os.path.exists("/run/no-more-flood"):
    port = subprocess.run(["xenstore-read", sys.argv[1]], capture_output=True, text=True).stdout.strip()
while not os.path.exists("/run/no-more-flood"):
    for _ in range(50):
        sender.sendto(b"x" * 1000, ("%s", int(port)))
    time.sleep(0.01)
""" % SHARED4
# One attack in the domU. What it leaves in its own directory and would hinder the next is mended afterwards.
ATTACK = """
device=device/lvif/0
for _ in $(seq 300); do xenstore-exists $device/state && break; sleep 0.1; done
{command} >/tmp/said 2>/tmp/complaint </dev/null &
until grep -q ready /tmp/said || ! kill -0 $! 2>/dev/null; do sleep 0.1; done
xenstore-write data/port "$(sed -n 's/.*"port":\\([0-9]*\\).*/\\1/p' /tmp/said | head -n 1)"
wait $!
status=$?
xenstore-rm data/port
xenstore-rm $device/request-mode 2>/dev/null
xenstore-write $device/backend /local/domain/0/backend/lvif/{domid}/0 $device/backend-id 0
grep '"attack"' /tmp/said
tail -n 5 /tmp/complaint
exit $status
"""


class Honest:
    """The honest guests' service, asked from the wire all the time."""

    def __init__(self, case):
        sha256 = case.guests["lr-web"].run("sha256sum /www/small").split()[0]
        self._case, self._machine = case, case.machine
        self._machine.run("rm -f /run/no-more-rounds")
        self._rounds = self._machine.start_step(f"set {sha256}\n{HONEST_ROUNDS}")
        self._operator = self._machine.start_step(INSIST)

    def rounds(self):
        return [line.split() for line in self._rounds.output.splitlines()]

    def served_since(self, count):
        """Milliseconds of the rounds after the first `count`, one of them from now on; Failure when one went wrong."""
        now = len(self.rounds())
        self._case.eventually(lambda: len(self.rounds()) >= max(now, count) + 2, "a round of an honest guest", timeout_s=120)
        after = self.rounds()[count:]
        if wrong := [row for row in after if row[0] != "ok"]:
            raise Failure(f"an honest guest was not served: {wrong}")
        return [int(row[1]) for row in after]

    def end(self):
        self._machine.run("touch /run/no-more-rounds")
        self._rounds.wait(120)
        self._operator.wait(60)


class HostileGuest:
    """Tests for a class with SharedAddress' guests. `attacks` are lists of names; after each list the others are looked at."""

    attacks = ()

    def test_hostile_guest(self):
        """Attack after attack by one domU; then it is destroyed in an event storm, and nothing of it stays."""
        if not overlay.built(self.lab.build, ("hostile_domu",)):
            self.skipTest("there is no hostile_domu in the build folder: it needs libxen-dev")
        held, generation = self.held(self.guests["lr-cache"].domid), self.server.status()["engine_generation"]
        self.hostile = self.add_guest(NAME, "pv", "echo 8192 >/sys/module/xen_gntalloc/parameters/limit")
        self.eventually(lambda: self.server.guest(NAME), "its device")
        self.server.ctl("limit", NAME, "--ports", PORTS)
        self.honest = Honest(self)
        try:
            self.honest.served_since(0)
            for names in self.attacks:
                with self.subTest(f"{names[0]} .. {names[-1]}"):
                    self.check_attacks(names, generation)
            with self.subTest("killed"):
                self.check_killed(generation)
            with self.subTest("storm"):
                self.check_storm()
            self.check_end()
        finally:
            self.honest.end()
            self.hostile.destroy()
        self.assertEqual(self.server.status()["engine_generation"], generation)
        self.eventually(lambda: self.held(self.guests["lr-cache"].domid) == held, "everything to be given back", timeout_s=60)
        self.check_file(self.fetch())

    def lines(self):
        """How much Xen and dom0's kernel have said."""
        return len(self.machine.serial.read_text(errors="replace").splitlines()), int(self.machine.run("dmesg | wc -l"))

    def check_attacks(self, names, generation):
        """Each comes to what it must; meanwhile and afterwards all others are served."""
        rounds, lines, log = len(self.honest.rounds()), self.lines(), self.server.log().count("\n")
        began = time.monotonic()
        for name in names:
            with self.subTest(name):
                judge, from_wire = XEN_ATTACKS.get(name) or ATTACKS[name]
                seen = {**self.attack(name, from_wire), "counters": {}}
                if judge(seen):
                    seen["counters"] = self.counters()
                fault = judge(seen)
                self.assertIsNone(fault, f"{fault}: {json.dumps(seen)[:2000]}")
        took = self.honest.served_since(rounds)
        self.assertLess(max(took), SLOW_HONEST_S * 1000 * PATIENCE)
        status = self.server.status()
        self.assertEqual(status["engine_generation"], generation, self.server.log()[-2000:])
        self.assertEqual(self.server.port(80)["owner"], "lr-web")
        for before, after in zip(lines, self.lines()):
            self.assertLessEqual(after - before, 2, "a guest makes Xen or dom0's kernel talk")
        self.assertLess(self.server.log().count("\n") - log, 100 + 12 * (time.monotonic() - began))

    def counters(self):
        return next((guest["counters"] for guest in self.server.ctl("stats")["guests"] if guest["name"] == NAME), {})

    def attack(self, name, from_wire):
        """What the attacker says of it."""
        duration_ms = 8000 if from_wire else 1000
        command = f"hostile_domu {self.guests['lr-web'].domid} {NAME} {name} {duration_ms}"
        if from_wire:
            self.machine.put("flood.py", FLOOD)
            self.machine.run("rm -f /run/no-more-flood")
            flood = self.machine.start_step(f"ip netns exec wire python3 /lab/flood.py /local/domain/{self.hostile.domid}/data/port")
        try:
            step = self.hostile.start_step(ATTACK.format(command=command, domid=self.hostile.domid), timeout_s=240)
            status = step.wait(300)
        finally:
            if from_wire:
                self.machine.run("touch /run/no-more-flood")
                flood.wait(30)
        said = next((line for line in step.output.splitlines() if line.startswith("{")), None)
        if status != 0 or said is None:
            raise Failure(f"{command}: {step.output[-2000:]}")
        return json.loads(said)

    def check_killed(self, generation):
        """The program is killed in each phase of the handshake; its domain lives on."""
        rounds = len(self.honest.rounds())
        for phase in ("offered", "shared", "initialised", "connected", "sending"):
            self.hostile.run(f"sleep 4 | timeout -s KILL 3 hostile_domu 0 {NAME} hold-{phase}; true")
        self.honest.served_since(rounds)
        self.assertEqual(self.server.status()["engine_generation"], generation)

    def engine_ticks(self):
        fields = self.machine.run("cat /proc/$(pgrep -P $(cat /run/holder.pid))/stat").rsplit(")", 1)[1].split()
        return int(fields[11]) + int(fields[12])

    def share_of_a_core(self, seconds):
        """The engine's processor time while that much of the machine's own time goes by."""
        before = self.engine_ticks()
        began, ended = (float(word) for word in self.machine.run(
            f"cut -d' ' -f1 /proc/uptime; sleep {seconds}; cut -d' ' -f1 /proc/uptime", timeout_s=60).split())
        return (self.engine_ticks() - before) / 100 / (ended - began)

    def check_storm(self):
        """Notifications as fast as they go: the engine hears a bounded number, the others are served; what it costs is a figure."""
        quiet, rounds = self.share_of_a_core(5), len(self.honest.rounds())
        quiet_ms = max(int(row[1]) for row in self.honest.rounds()[-5:])
        step = self.hostile.start_step(f"hostile_domu 0 {NAME} doorbell-storm 15000 </dev/null", timeout_s=120)
        self.eventually(lambda: self.server.guest(NAME)["state"] == "connected", "the storm")
        storming = self.share_of_a_core(8)
        took = self.honest.served_since(rounds)
        self.assertEqual(step.wait(120), 0, step.output)
        seen = json.loads(step.output.splitlines()[-1])
        heard = self.counters()["doorbells_received"]
        self.figure(f"event storm, {self.hypervisor} Xen", f"{2 * seen['rings'] / 15:.0f} notifications/s, {heard / 15:.0f}/s heard; engine at "
                    f"{storming:.2f} of a core ({quiet:.2f} before); an honest round {max(took)} ms ({quiet_ms} ms before)")
        self.assertTrue(seen["connected"])
        self.assertLess(heard / 15, 20_000)

    def check_end(self):
        domid = self.hostile.domid
        step = self.hostile.start_step(f"hostile_domu 0 {NAME} doorbell-storm 60000 </dev/null", timeout_s=120)
        self.eventually(lambda: self.server.guest(NAME)["state"] == "connected", "the storm")
        self.hostile.destroy()
        self.assertNotEqual(step.wait(180), 0)
        self.check_gone(NAME, domid)
